"""Memory of bodies: a ceiling for all, a quarter for each."""

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.traffic.body_memory import STRANGERS, BodyMemory


def test_strangers_fill_only_their_quarter_and_five_users_not_more_than_all() -> None:
    memory = BodyMemory(400)
    memory.take(STRANGERS, 100)
    with pytest.raises(ParcelaError) as caught:
        memory.take(STRANGERS, 1)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.UNAVAILABLE, "bodies_full")
    for user_id in (1, 2, 3):
        memory.take(user_id, 100)
    with pytest.raises(ParcelaError):
        memory.take(4, 1)
    assert (memory.held_bytes, memory.refused) == (400, {"strangers": 1, "total": 1})
    memory.give_back(STRANGERS, 100)
    memory.take(4, 100)
    with pytest.raises(ParcelaError):
        memory.take(4, 1)
    assert memory.refused == {"strangers": 1, "total": 1, "user": 1}
