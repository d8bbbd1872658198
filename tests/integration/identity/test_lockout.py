"""Failures of strangers must not keep anybody out: who has signed in before has counters of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from parcela.core.errors import ParcelaError
from parcela.services.identity.sessions import Origin
from parcela.services.identity.users import UserChanges
from tests.integration.identity.support import (
    ADDRESS,
    ADMIN_ID,
    PASSWORD,
    ROOT,
    Identity,
    open_client,
    open_identity,
    together,
)
from tests.integration.identity.test_second_factor import code_at, enrol

pytestmark = pytest.mark.anyio
WRONG = "wrong"
STRANGER, ELSEWHERE = "203.0.113.66", "198.51.100.9"
SPELLINGS = ("admin", "admin@lab.local", "ADMIN", " Admin@Lab.Local ", "aDmIn")
LOGIN = {"email": "admin", "password": PASSWORD}


async def outcome(identity: Identity, name: str, password: str = WRONG, address: str = STRANGER) -> tuple[str, int]:
    """(code, seconds to wait) of a login; ("ok", 0) for one that opened a session."""
    found = (await together(identity.auth.login(name, password, address)))[0]
    return (found.code, found.retry_after_s or 0) if isinstance(found, ParcelaError) else ("ok", 0)


async def attack(identity: Identity, name: str = "admin", address: str = STRANGER, times: int = 12) -> None:
    """Guess without a pause between the delays."""
    for _ in range(times):
        _, delay_s = await outcome(identity, name, address=address)
        if delay_s:
            identity.clock.turn(delay_s)


@asynccontextmanager
async def browser(identity: Identity, address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that keeps cookies, at an address."""
    async with open_client(identity) as client:
        transport = httpx2.ASGITransport(app=client.app, raise_app_exceptions=False, client=(address, 5000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://lab/api/v1") as http:
            yield http


async def test_one_counter_whatever_is_typed(anywhere: Identity) -> None:
    for name in SPELLINGS:
        assert await outcome(anywhere, name) == ("bad_credentials", 0)
    for name in SPELLINGS:
        assert await outcome(anywhere, name) == ("too_many_attempts", 5)


async def test_an_address_that_was_used_before_is_not_delayed_by_strangers(anywhere: Identity) -> None:
    await anywhere.login("admin")
    await attack(anywhere)
    await attack(anywhere, "admin@lab.local", "203.0.113.67", 30)
    await anywhere.login("admin@lab.local")


async def test_a_browser_that_was_used_before_is_not_delayed_by_strangers(identity: Identity) -> None:
    async with browser(identity, ADDRESS) as http:
        first = await http.post("/login", json=LOGIN)
        assert "HttpOnly" in first.headers["set-cookie"]
        cookies = http.cookies
        for number in range(10):
            await attack(identity, address=f"203.0.113.{number}", times=8)
        async with browser(identity, ELSEWHERE) as travelling:
            assert (await travelling.post("/login", json=LOGIN)).status_code == 429, (
                "a new browser at a new address waits"
            )
            travelling.cookies = cookies
            assert (await travelling.post("/login", json=LOGIN)).status_code == 200


async def test_a_new_device_waits_a_minute_at_most_however_many_attack(identity: Identity) -> None:
    for number in range(60):
        await attack(identity, address=f"203.0.113.{number}", times=6)
    found = await outcome(identity, "admin", PASSWORD, ELSEWHERE)
    assert found[0] == "ok" or found[1] <= 60, found
    identity.clock.turn(found[1])
    assert await outcome(identity, "admin", PASSWORD, ELSEWHERE) == ("ok", 0)


async def test_unknown_accounts_are_delayed_alike(anywhere: Identity) -> None:
    seen: dict[str, list[tuple[str, int]]] = {"admin": [], "nobody": []}
    for name, answers in seen.items():
        for number in range(14):
            answers.append(await outcome(anywhere, name, address=f"2001:db8:{len(name)}::1"))
            if number % 2:
                anywhere.clock.turn(answers[-1][1])
        anywhere.clock.turn(3600)
    assert seen["admin"] == seen["nobody"]


async def test_a_stolen_cookie_guesses_on_its_own_account(identity: Identity) -> None:
    async with browser(identity, ADDRESS) as mine, browser(identity, STRANGER) as thief:
        await mine.post("/login", json=LOGIN)
        thief.cookies = mine.cookies
        answers = [(await thief.post("/login", json=LOGIN | {"password": f"guess {n}"})).status_code for n in range(7)]
        assert answers == [401] * 5 + [429] * 2
        thief.cookies = httpx2.Cookies()
        assert (await thief.post("/login", json=LOGIN)).status_code == 200, "strangers have counters of their own"


@pytest.mark.parametrize("box", ["rubbish", "", "é", "x" * 9000, "of another account"])
async def test_what_is_no_device_of_the_account(identity: Identity, box: str) -> None:
    if box == "of another account":
        await identity.add_user("ana")
        box = (await identity.auth.login_from("ana", PASSWORD, Origin(ELSEWHERE))).device
    for _ in range(5):
        await outcome(identity, "admin")
    late = (await together(identity.auth.login("admin", PASSWORD, STRANGER, device=box)))[0]
    assert isinstance(late, ParcelaError)
    assert late.code == "too_many_attempts"


async def test_one_browser_is_known_for_several_accounts(identity: Identity) -> None:
    box = ""
    for name in ("ana", "ben"):
        await identity.add_user(name)
        box = (await identity.auth.login_from(name, PASSWORD, Origin(ADDRESS, device=box))).device
    for name in ("ana", "ben"):
        await attack(identity, name, ELSEWHERE, 5)
        await identity.auth.login(name, PASSWORD, ELSEWHERE, device=box)


@pytest.mark.parametrize("change", ["address", "password", "deactivation"])
async def test_devices_and_addresses_are_forgotten_with_a_recovery(identity: Identity, change: str) -> None:
    user_id = await identity.add_user("ana")
    box = (await identity.auth.login_from("ana", PASSWORD, Origin(ADDRESS))).device
    changes = {
        "address": [UserChanges(email="ana@elsewhere.local")],
        "password": [UserChanges(password_hash=await identity.users.hash_password(PASSWORD))],
        "deactivation": [UserChanges(is_active=False), UserChanges(is_active=True)],
    }[change]
    for one in changes:
        async with identity.uows.write() as uow:
            await identity.users.update(uow, ROOT, user_id, one)
            await uow.commit()
    for _ in range(5):
        await outcome(identity, "ana", address=ADDRESS)
    late = (await together(identity.auth.login("ana", PASSWORD, ADDRESS, device=box)))[0]
    assert isinstance(late, ParcelaError)
    assert late.code == "too_many_attempts"


async def test_the_own_password_change_is_not_delayed_by_what_strangers_do(anywhere: Identity) -> None:
    caller = await anywhere.caller("admin")
    await enrol(anywhere)
    for number in range(8):  # the password is known to them, the code is not
        await together(anywhere.auth.login("admin", PASSWORD, STRANGER, code=f"{number:06}"))
    await attack(anywhere, "admin@lab.local", ADDRESS, 4)
    await anywhere.auth.change_password(caller, PASSWORD, "a new and longer one")


async def test_failures_of_a_session_delay_this_session_alone(identity: Identity) -> None:
    thief, mine = await identity.caller("admin"), await identity.caller("admin")
    codes = [
        (await together(identity.auth.change_password(thief, "wrong", "a new and longer one")))[0].code
        for _ in range(7)
    ]
    assert codes == ["wrong_password"] * 5 + ["too_many_attempts"] * 2
    await identity.login("admin")
    await identity.auth.change_password(mine, PASSWORD, "a new and longer one")


async def test_wrong_codes_of_a_session_do_not_delay_logins(identity: Identity) -> None:
    caller = await identity.caller("admin")
    secret, _ = await enrol(identity)
    for number in range(7):
        await together(identity.second_factors.renew_codes(caller, f"{number:06}"))
    await identity.auth.login("admin", PASSWORD, STRANGER, code=code_at(identity, secret))


async def test_wrong_codes_of_strangers_do_not_delay_a_known_device(identity: Identity) -> None:
    secret, _ = await enrol(identity)
    pair = await identity.auth.login("admin", PASSWORD, ADDRESS, code=code_at(identity, secret))
    identity.clock.turn(60)
    for number in range(7):
        await together(identity.auth.login("admin", PASSWORD, f"203.0.113.{number}", code=f"{number:06}"))
    code = code_at(identity, secret)
    late = (await together(identity.auth.login("admin", PASSWORD, STRANGER, code=code)))[0]
    assert isinstance(late, ParcelaError)
    assert late.code == "too_many_attempts"
    await identity.auth.login("admin", PASSWORD, ELSEWHERE, code=code, device=pair.device)


@pytest.fixture
async def tight(sqlite_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Identity]:
    async with open_identity(sqlite_url, tmp_path, PARCELA_LOGIN_ATTEMPTS_PER_ADDRESS=2) as made:
        yield made


async def test_many_ipv6_networks_do_not_multiply_the_guesses(tight: Identity) -> None:
    """Whoever has a /48 has 65,536 networks of the length /64."""
    guesses = 0
    for site in range(64):
        for network in range(8):
            address = f"2001:db8:1:{site:02x}{network:02x}::1"
            code, _ = await outcome(tight, f"user{site}-{network}", address=address)
            guesses += code == "bad_credentials"
    assert guesses == 2 * 16, "of the /48, whatever the networks in it"
    assert await outcome(tight, "user", address="2001:db8:2::1") == ("bad_credentials", 0)


async def test_known_addresses_are_limited_and_forgotten(anywhere: Identity) -> None:
    for number in range(25):
        anywhere.clock.turn(1)
        await anywhere.login("admin", address=f"192.0.2.{number}")
    async with anywhere.uows.read() as uow:
        rows = await uow.known_addresses.all()
    assert len(rows) == 20
    assert "192.0.2" not in str([vars(row) for row in rows])
    assert {row.user_id for row in rows} == {ADMIN_ID}
    anywhere.clock.turn(91 * 86400)
    await anywhere.auth.purge()
    async with anywhere.uows.read() as uow:
        assert await uow.known_addresses.all() == []
