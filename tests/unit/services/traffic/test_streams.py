"""Places for streams: per user, per address, in all."""

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.traffic.streams import StreamLimits, StreamPlaces
from tests.unit.services.traffic.settings import settings_of


def code_of(places: StreamPlaces, user_id: int, address: str) -> tuple[ErrorKind, str]:
    with pytest.raises(ParcelaError) as caught:
        places.take(user_id, address)
    return caught.value.kind, caught.value.code


def test_a_user_has_so_many_and_gets_another_for_one_that_ends() -> None:
    places = StreamPlaces(StreamLimits(total=0, per_user=2, per_address=0))
    first = places.take(1, "192.0.2.1")
    places.take(1, "192.0.2.2")
    assert code_of(places, 1, "192.0.2.3") == (ErrorKind.RATE_LIMITED, "too_many_streams")
    places.take(2, "192.0.2.1")
    first()
    places.take(1, "192.0.2.3")
    assert (places.open, places.refused) == (3, {"user": 1})


def test_an_address_counts_by_its_network() -> None:
    places = StreamPlaces(StreamLimits(total=0, per_user=0, per_address=1))
    places.take(1, "2001:db8::1")
    assert code_of(places, 2, "2001:db8::2") == (ErrorKind.RATE_LIMITED, "too_many_streams")
    places.take(2, "2001:db8:0:1::2")


def test_all_together_have_a_ceiling() -> None:
    places = StreamPlaces(StreamLimits(total=1, per_user=0, per_address=0))
    give_back = places.take(1, "192.0.2.1")
    assert code_of(places, 2, "192.0.2.2") == (ErrorKind.UNAVAILABLE, "streams_full")
    give_back()
    places.take(2, "192.0.2.2")


def test_zero_is_no_limit() -> None:
    places = StreamPlaces(StreamLimits(0, 0, 0))
    for _ in range(500):
        places.take(1, "192.0.2.1")
    assert places.open == 500


def test_the_default_of_all_leaves_a_quarter_of_the_connections() -> None:
    assert StreamLimits.of(settings_of(), 1000) == StreamLimits(750, 40, 500)
    assert StreamLimits.of(settings_of(PARCELA_MAX_STREAMS=5), 1000).total == 5
