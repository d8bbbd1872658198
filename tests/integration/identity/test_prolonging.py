"""Sessions that last while somebody works, for clients that keep their token in a cookie and cannot refresh it."""

from pathlib import Path

import pytest

from parcela.core.errors import ParcelaError
from parcela.repositories.paging import PageRequest
from tests.integration.identity.support import ADDRESS, ROOT, Identity, open_identity, together

pytestmark = pytest.mark.anyio


async def enter(identity: Identity) -> str:
    """Somebody's access token, of which more than half of the life is over."""
    await identity.add_user("ana")
    token = (await identity.login("ana")).access_token
    identity.clock.turn(identity.settings.access_token_ttl_s * 0.6)
    return token


async def refused(identity: Identity, token: str) -> str:
    with pytest.raises(ParcelaError) as caught:
        await identity.auth.authenticate(token, ADDRESS)
    return caught.value.code


async def test_a_newer_token_belongs_to_the_same_session(anywhere: Identity) -> None:
    token = await enter(anywhere)
    newer = await anywhere.prolonging.prolong(token)
    assert newer is not None
    before, after = [await anywhere.auth.authenticate(one, ADDRESS) for one in (token, newer)]
    assert before.token_family == after.token_family
    async with anywhere.uows.read() as uow:
        assert len((await anywhere.sessions.page(uow, after, PageRequest())).rows) == 1
    anywhere.clock.turn(anywhere.settings.access_token_ttl_s * 0.5)
    assert await refused(anywhere, token) == "token_expired"
    await anywhere.auth.logout(await anywhere.auth.authenticate(newer, ADDRESS))
    assert await refused(anywhere, newer) == "token_revoked"


async def test_a_fresh_token_is_not_replaced(identity: Identity) -> None:
    await identity.add_user("ana")
    token = (await identity.login("ana")).access_token
    identity.clock.turn(identity.settings.access_token_ttl_s * 0.4)
    assert await identity.prolonging.prolong(token) is None


async def test_requests_at_the_same_time_are_all_answered(anywhere: Identity) -> None:
    token = await enter(anywhere)
    for newer in await together(*(anywhere.prolonging.prolong(token) for _ in range(4))):
        assert (await anywhere.auth.authenticate(str(newer), ADDRESS)).username == "ana"


async def test_a_session_that_has_ended_is_over(anywhere: Identity) -> None:
    token = await enter(anywhere)
    await anywhere.auth.logout(await anywhere.auth.authenticate(token, ADDRESS))
    assert await anywhere.prolonging.prolong(token) is None


async def test_a_user_who_is_gone_or_disabled_gets_none(identity: Identity) -> None:
    token = await enter(identity)
    async with identity.uows.write() as uow:
        user = await uow.users.by_identifier("ana")
        assert user is not None
        user.is_active = False
        await uow.commit()
    assert await identity.prolonging.prolong(token) is None
    async with identity.uows.write() as uow:
        await identity.users.delete(uow, ROOT, user.id)
        await uow.commit()
    assert await identity.prolonging.prolong(token) is None


async def test_it_ends_when_its_refresh_token_would(sqlite_url: str, tmp_path: Path) -> None:
    lives = {"PARCELA_ACCESS_TOKEN_TTL_S": 1000, "PARCELA_REFRESH_TOKEN_TTL_S": 2500}
    async with open_identity(sqlite_url, tmp_path, **lives) as identity:
        await identity.add_user("ana")
        token: str | None = (await identity.login("ana")).access_token
        for _ in range(2):
            identity.clock.turn(900)
            assert token is not None
            token = await identity.prolonging.prolong(token)
        assert token is not None
        identity.clock.turn(900)
        assert await identity.prolonging.prolong(token) is None
