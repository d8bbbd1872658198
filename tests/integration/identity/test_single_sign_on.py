"""Single sign-on against a real provider: who gets which account, with which role."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyotp
import pytest

from parcela.core.clock import utc_now
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.access import Caller
from parcela.services.identity.auth import Challenge
from parcela.services.identity.sessions import Origin, TokenPair
from parcela.services.identity.single_sign_on.single_sign_on import Arrival
from parcela.workers.reconcilers.identity_provider import IdentityProvider
from tests.integration.identity.support import ADDRESS, ADMIN_ID, PASSWORD, Identity, open_identity, together
from tests.support.provider import Provider, running_provider

pytestmark = pytest.mark.anyio
BACK = "http://lab/auth/oidc/callback"
ORIGIN = Origin(ADDRESS, "browser")
ANA = {"email": "ana@lab.local", "email_verified": True, "name": "Ana Quispe", "preferred_username": "AQuispe"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


def sso_settings(issuer: str, **more: Any) -> dict[str, Any]:
    return {
        "PARCELA_OIDC_ISSUER": issuer,
        "PARCELA_OIDC_CLIENT_ID": "parcela",
        "PARCELA_OIDC_CLIENT_SECRET": "client secret",
        "PARCELA_SELF_REGISTRATION": False,
    } | more


@pytest.fixture
async def joining(any_url: str, tmp_path: Path, provider: Provider, anyio_backend: str) -> AsyncIterator[Identity]:
    """An installation that makes accounts for whoever the provider knows."""
    async with open_identity(any_url, tmp_path, **sso_settings(provider.issuer, PARCELA_OIDC_AUTO_CREATE=True)) as made:
        made.clock.now = _real_now()
        yield made


@pytest.fixture
async def strict(sqlite_url: str, tmp_path: Path, provider: Provider, anyio_backend: str) -> AsyncIterator[Identity]:
    """An installation where an administrator makes the accounts."""
    async with open_identity(sqlite_url, tmp_path, **sso_settings(provider.issuer)) as made:
        made.clock.now = _real_now()
        yield made


def _real_now() -> Any:
    return utc_now()  # the provider has no other clock


async def enter(identity: Identity, provider: Provider, subject: str, target: str = "/") -> Arrival:
    address, box = await identity.single_sign_on.start(BACK, target)
    return await identity.single_sign_on.finish(box, provider.sign_in(address, subject), ORIGIN)


async def caller_of(identity: Identity, arrival: Arrival) -> Caller:
    assert isinstance(arrival.outcome, TokenPair)
    return await identity.auth.authenticate(arrival.outcome.access_token, ADDRESS)


async def refused(work: Any) -> ParcelaError:
    with pytest.raises(ParcelaError) as caught:
        await work
    return caught.value


async def test_a_new_person_gets_an_account(joining: Identity, provider: Provider) -> None:
    provider.know("ana", **ANA)
    arrival = await enter(joining, provider, "ana", "/templates/1")
    assert arrival.target == "/templates/1"
    caller = await caller_of(joining, arrival)
    assert (caller.username, caller.role) == ("aquispe", "client")
    async with joining.uows.read() as uow:
        user = await uow.users.get(caller.user_id)
        assert [one.subject for one in await uow.external_identities.of_user(user.id)] == ["ana"]
    assert (user.email, user.full_name, user.password_hash) == ("ana@lab.local", "Ana Quispe", "")
    assert (await caller_of(joining, await enter(joining, provider, "ana"))).user_id == caller.user_id
    assert joining.event_types().count("auth.identity_linked") == 1
    assert (await refused(joining.login("aquispe", ""))).code == "bad_credentials"


async def test_the_same_person_in_many_windows_is_one(joining: Identity, provider: Provider) -> None:
    provider.know("ana", **ANA)
    arrivals = await together(*(enter(joining, provider, "ana") for _ in range(3)))
    assert len({(await caller_of(joining, arrival)).user_id for arrival in arrivals}) == 1


async def test_who_is_not_known_here_is_sent_away(strict: Identity, provider: Provider) -> None:
    provider.know("ana", **ANA)
    error = await refused(enter(strict, provider, "ana"))
    assert (error.kind, error.code) == (ErrorKind.UNAUTHENTICATED, "oidc_unknown")


async def test_a_verified_address_finds_the_account(strict: Identity, provider: Provider) -> None:
    user_id = await strict.add_user("ana")
    provider.know("ana-1", **ANA | {"email": "ANA@lab.local"})
    assert (await caller_of(strict, await enter(strict, provider, "ana-1"))).user_id == user_id
    await strict.login("ana")  # the password goes on
    # From now on the subject counts and not the address.
    provider.know("ana-1", **ANA | {"email": "other@lab.local", "email_verified": False})
    assert (await caller_of(strict, await enter(strict, provider, "ana-1"))).user_id == user_id


@pytest.mark.parametrize("verified", [{"email_verified": False}, {"email_verified": "true"}, {}, {"email": None}])
async def test_an_address_that_is_not_verified_finds_nobody(
    joining: Identity, provider: Provider, verified: dict[str, Any]
) -> None:
    await joining.add_user("ana")
    claims = {name: value for name, value in ANA.items() if name != "email_verified"} | verified
    provider.know("thief", **claims)
    assert (await refused(enter(joining, provider, "thief"))).code == "oidc_email_unverified"
    assert "auth.logged_in" not in joining.event_types()


async def test_whoever_registered_with_somebody_elses_address_keeps_nothing(
    sqlite_url: str, tmp_path: Path, provider: Provider
) -> None:
    settings = sso_settings(provider.issuer, PARCELA_SELF_REGISTRATION=True)
    async with open_identity(sqlite_url, tmp_path, **settings) as identity:
        identity.clock.now = _real_now()
        await identity.add_user("ana")
        squatter = await identity.login("ana")
        provider.know("ana", **ANA)
        await enter(identity, provider, "ana")
        assert (await refused(identity.login("ana"))).code == "bad_credentials"
        assert (await refused(identity.auth.authenticate(squatter.access_token, ADDRESS))).code == "token_revoked"
        provider.know("boss", **ANA | {"email": "admin@lab.local"})
        await enter(identity, provider, "boss")
        await identity.login("admin")  # administrators do not register, so theirs stays


async def test_groups_become_roles(sqlite_url: str, tmp_path: Path, provider: Provider) -> None:
    role_map = "missing=no-such-role, staff=teachers, root=admin"
    settings = sso_settings(provider.issuer, PARCELA_OIDC_AUTO_CREATE=True, PARCELA_OIDC_ROLE_MAP=role_map)
    async with open_identity(sqlite_url, tmp_path, **settings) as identity:
        identity.clock.now = _real_now()
        await identity.add_role("teachers", "user:read")
        for groups, role in (
            (["staff", "root"], "teachers"),
            (["root"], "admin"),
            (["students"], "client"),
            ("staff", "teachers"),
            (["missing"], "client"),
            (None, "client"),
        ):
            provider.know("ana", **ANA | {"groups": groups})
            assert (await caller_of(identity, await enter(identity, provider, "ana"))).role == role, groups
        provider.know("boss", **ANA | {"email": "admin@lab.local", "groups": []})
        boss = await caller_of(identity, await enter(identity, provider, "boss"))
        assert (boss.user_id, boss.role) == (ADMIN_ID, "admin"), "a superuser keeps the role"


async def test_a_name_that_is_taken_gets_a_number(joining: Identity, provider: Provider) -> None:
    wanted = {"1": "ana quispe", "2": "Ana Quispe", "3": "..", "4": "ñ", "5": "x" * 200}
    names = []
    for subject, name in wanted.items():
        provider.know(subject, **ANA | {"email": f"a{subject}@lab.local", "preferred_username": name})
        names.append((await caller_of(joining, await enter(joining, provider, subject))).username)
    assert names[:2] == ["ana-quispe", "ana-quispe-2"]
    assert len(set(names)) == 5
    assert len(names[4]) <= 64


async def test_the_second_factor_is_asked_for_here_too(strict: Identity, provider: Provider) -> None:
    await strict.add_user("ana")
    session = await strict.caller("ana")
    secret = (await strict.second_factors.begin(session, PASSWORD)).secret
    totp = pyotp.TOTP(secret)
    async with strict.uows.write() as uow:
        await strict.second_factors.confirm(uow, session, totp.at(strict.clock()))
        await uow.commit()
    provider.know("ana", **ANA)
    arrival = await enter(strict, provider, "ana")
    assert isinstance(arrival.outcome, Challenge)
    code = totp.at(strict.clock(), counter_offset=1)
    pair = await strict.auth.finish(arrival.outcome.box, code, ORIGIN)
    assert (await strict.auth.authenticate(pair.access_token, ADDRESS)).username == "ana"


async def test_an_account_that_is_not_active_stays_out(strict: Identity, provider: Provider) -> None:
    await strict.add_user("ana", is_active=False)
    provider.know("ana", **ANA)
    assert (await refused(enter(strict, provider, "ana"))).code == "account_disabled"


async def test_an_answer_belongs_to_the_browser_that_asked(strict: Identity, provider: Provider) -> None:
    await strict.add_user("ana")
    provider.know("ana", **ANA)
    address, box = await strict.single_sign_on.start(BACK, "/")
    answer = provider.sign_in(address, "ana")
    _, other = await strict.single_sign_on.start(BACK, "/")
    finish = strict.single_sign_on.finish
    for wrong_box, wrong_answer in (
        ("", answer),
        ("rubbish", answer),
        (other, answer),
        (box, answer | {"state": "x"}),
        (box, {"code": answer["code"]}),
    ):
        assert (await refused(finish(wrong_box, wrong_answer, ORIGIN))).code == "oidc_state"
    strict.clock.turn(600)
    assert (await refused(finish(box, answer, ORIGIN))).code == "oidc_state"


async def test_a_code_is_good_once(strict: Identity, provider: Provider) -> None:
    await strict.add_user("ana")
    provider.know("ana", **ANA)
    address, box = await strict.single_sign_on.start(BACK, "/")
    answer = provider.sign_in(address, "ana")
    await strict.single_sign_on.finish(box, answer, ORIGIN)
    for again in (answer, answer | {"code": "wrong"}, {"state": answer["state"]}):
        assert (await refused(strict.single_sign_on.finish(box, again, ORIGIN))).code == "oidc_refused"


async def test_a_person_who_does_not_want_to(strict: Identity, provider: Provider) -> None:
    address, box = await strict.single_sign_on.start(BACK, "/")
    answer = provider.deny(address)
    assert (await refused(strict.single_sign_on.finish(box, answer | {"state": "x"}, ORIGIN))).code == "oidc_state"
    opened = dict(answer)
    opened["state"] = dict(_query(address))["state"]
    assert (await refused(strict.single_sign_on.finish(box, opened, ORIGIN))).code == "oidc_denied"


def _query(address: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(address).query)


async def test_a_provider_that_is_away(sqlite_url: str, tmp_path: Path) -> None:
    with running_provider() as gone:
        issuer = gone.issuer
    async with open_identity(sqlite_url, tmp_path, **sso_settings(issuer)) as identity:

        async def status() -> str:
            async with identity.uows.read() as uow:
                return (await identity.single_sign_on.check(uow)).status

        assert await status() == "ok", "nobody has asked yet"
        assert await IdentityProvider(identity.single_sign_on).run() == 1
        await identity.single_sign_on.settle()
        assert await status() == "down"
        assert await IdentityProvider(identity.single_sign_on).run() == 0, "not at every sweep"
        error = await refused(identity.single_sign_on.start(BACK, "/"))
        assert (error.kind, error.code) == (ErrorKind.UNAVAILABLE, "oidc_unavailable")
        await identity.login("admin")


async def test_without_a_provider(identity: Identity) -> None:
    assert identity.single_sign_on.label == ""
    error = await refused(identity.single_sign_on.start(BACK, "/"))
    assert (error.kind, error.code) == (ErrorKind.UNSUPPORTED, "oidc_not_configured")
    async with identity.uows.read() as uow:
        assert (await identity.single_sign_on.check(uow)).status == "ok"
