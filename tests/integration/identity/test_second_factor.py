"""Codes of an authenticator app and recovery codes: enrolment, logins, and what a thief of one half gets."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from sqlalchemy import text

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.permissions import Permission
from parcela.services.access import Caller
from parcela.services.identity.auth import Challenge
from parcela.services.identity.services import build_identity
from parcela.services.identity.sessions import Origin, TokenPair
from parcela.services.identity.users import UserChanges
from tests.integration.identity.support import (
    ADDRESS,
    ADMIN_ID,
    PASSWORD,
    ROOT,
    Client,
    Identity,
    problem,
    together,
)

pytestmark = pytest.mark.anyio


def code_at(identity: Identity, secret: str, offset_s: float = 0) -> str:
    return pyotp.TOTP(secret).at(int(identity.clock().timestamp() + offset_s))


async def enrol(identity: Identity, name: str = "admin") -> tuple[str, list[str]]:
    """Turn it on; the secret and the recovery codes. The clock is past the step of the code that was used."""
    caller = await identity.caller(name)
    secret = (await identity.second_factors.begin(caller, PASSWORD)).secret
    async with identity.uows.write() as uow:
        codes = await identity.second_factors.confirm(uow, caller, code_at(identity, secret))
        await uow.commit()
    identity.clock.turn(60)
    return secret, codes


async def refused(work: Any) -> ParcelaError:
    with pytest.raises(ParcelaError) as caught:
        await work
    return caught.value


async def test_a_login_needs_the_code(anywhere: Identity) -> None:
    secret, _ = await enrol(anywhere)
    error = await refused(anywhere.login("admin"))
    assert (error.kind, error.code) == (ErrorKind.UNAUTHENTICATED, "totp_required")
    await anywhere.auth.login("admin", PASSWORD, ADDRESS, code=code_at(anywhere, secret))
    assert "auth.totp_enabled" in anywhere.event_types()
    assert secret not in str(anywhere.events)


async def test_without_the_password_nothing_is_said_of_codes(identity: Identity) -> None:
    secret, _ = await enrol(identity)
    error = await refused(identity.auth.login("admin", "wrong", ADDRESS, code=code_at(identity, secret)))
    assert error.code == "bad_credentials"


@pytest.mark.parametrize(("offset_s", "good"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
async def test_one_step_before_and_after(identity: Identity, offset_s: float, good: bool) -> None:
    secret, _ = await enrol(identity)
    identity.clock.turn(600)
    outcome = await together(identity.auth.login("admin", PASSWORD, ADDRESS, code=code_at(identity, secret, offset_s)))
    assert isinstance(outcome[0], TokenPair) is good


async def test_a_code_is_good_once_and_so_are_older_ones(identity: Identity) -> None:
    secret, _ = await enrol(identity)
    older, code = code_at(identity, secret, -30), code_at(identity, secret)
    await identity.auth.login("admin", PASSWORD, ADDRESS, code=code)
    for spent in (code, older):
        assert (await refused(identity.auth.login("admin", PASSWORD, ADDRESS, code=spent))).code == "bad_code"


async def test_the_code_of_the_enrolment_is_spent(identity: Identity) -> None:
    caller = await identity.caller("admin")
    secret = (await identity.second_factors.begin(caller, PASSWORD)).secret
    code = code_at(identity, secret)
    async with identity.uows.write() as uow:
        await identity.second_factors.confirm(uow, caller, code)
        await uow.commit()
    assert (await refused(identity.auth.login("admin", PASSWORD, ADDRESS, code=code))).code == "bad_code"


async def test_of_many_at_once_one_gets_in_with_a_code(anywhere: Identity) -> None:
    secret, codes = await enrol(anywhere)
    for code in (code_at(anywhere, secret), codes[0]):
        outcomes = await together(
            *(anywhere.auth.login("admin", PASSWORD, f"192.0.2.{n}", code=code) for n in range(4))
        )
        assert sum(isinstance(outcome, TokenPair) for outcome in outcomes) == 1, outcomes
        anywhere.clock.turn(600)


async def test_recovery_codes_are_good_once_each(anywhere: Identity) -> None:
    _, codes = await enrol(anywhere)
    assert len(set(codes)) == 10
    spelt = [codes[0], codes[1].upper(), codes[2].replace("-", ""), codes[3].replace("-", " ")]
    for code in spelt:
        await anywhere.auth.login("admin", PASSWORD, ADDRESS, code=code)
        assert (await refused(anywhere.auth.login("admin", PASSWORD, ADDRESS, code=code))).code == "bad_code"
    used = [event for event in anywhere.events if event.type == "auth.recovery_code_used"]
    assert [event.data["left"] for event in used] == [9, 8, 7, 6]


async def test_guesses_lock_the_account_under_both_names(identity: Identity) -> None:
    secret, _ = await enrol(identity)
    for number in range(5):
        name = ("admin", "admin@lab.local")[number % 2]
        assert (await refused(identity.auth.login(name, PASSWORD, ADDRESS, code="000000"))).code == "bad_code"
    for name in ("admin", "admin@lab.local"):
        right = identity.auth.login(name, PASSWORD, ADDRESS, code=code_at(identity, secret))
        assert (await refused(right)).code == "too_many_attempts"
    identity.clock.turn(300)
    await identity.auth.login("admin", PASSWORD, ADDRESS, code=code_at(identity, secret))


async def test_parallel_guesses_slip_nothing_through(anywhere: Identity) -> None:
    await enrol(anywhere)
    outcomes = await together(
        *(anywhere.auth.login("admin", PASSWORD, f"198.51.100.{n}", code=f"{n:06}") for n in range(20))
    )
    codes = [outcome.code for outcome in outcomes]
    assert (codes.count("bad_code"), codes.count("too_many_attempts")) == (5, 15)


async def test_a_challenge_is_finished_with_a_code(identity: Identity) -> None:
    secret, _ = await enrol(identity)
    challenge = await identity.auth.begin("admin", PASSWORD, Origin(ADDRESS))
    assert isinstance(challenge, Challenge)
    for wrong in ("", "000000"):
        assert (await refused(identity.auth.finish(challenge.box, wrong, Origin(ADDRESS)))).code == "bad_code"
    pair = await identity.auth.finish(challenge.box, code_at(identity, secret), Origin(ADDRESS, "browser"))
    assert (await identity.auth.authenticate(pair.access_token, ADDRESS)).user_id == ADMIN_ID


async def test_a_challenge_ends_with_time_and_with_the_password(identity: Identity) -> None:
    secret, _ = await enrol(identity)
    first = await identity.auth.begin("admin", PASSWORD, Origin(ADDRESS))
    identity.clock.turn(300)
    second = await identity.auth.begin("admin", PASSWORD, Origin(ADDRESS))
    new_hash = await identity.users.hash_password("a new and longer one")
    async with identity.uows.write() as uow:
        await identity.users.update(uow, ROOT, ADMIN_ID, UserChanges(password_hash=new_hash))
        await uow.commit()
    for challenge in (first, second, Challenge("rubbish")):
        assert isinstance(challenge, Challenge)
        finish = identity.auth.finish(challenge.box, code_at(identity, secret), Origin(ADDRESS))
        assert (await refused(finish)).code == "challenge_expired"


async def test_disabling_needs_password_and_code(anywhere: Identity) -> None:
    caller = await anywhere.caller("admin")
    secret, _ = await enrol(anywhere)
    code = code_at(anywhere, secret)
    assert (await refused(anywhere.second_factors.disable(caller, "wrong", code))).code == "wrong_password"
    assert (await refused(anywhere.second_factors.disable(caller, PASSWORD, "000000"))).code == "bad_code"
    await anywhere.second_factors.disable(caller, PASSWORD, code)
    await anywhere.login("admin")
    async with anywhere.uows.read() as uow:
        assert await uow.second_factors.codes_left(ADMIN_ID) == 0
    assert (await refused(anywhere.second_factors.disable(caller, PASSWORD, code))).code == "totp_not_enabled"


async def test_new_recovery_codes_replace_the_old_ones(identity: Identity) -> None:
    caller = await identity.caller("admin")
    secret, old = await enrol(identity)
    new = await identity.second_factors.renew_codes(caller, code_at(identity, secret))
    assert not set(old) & set(new)
    assert (await refused(identity.auth.login("admin", PASSWORD, ADDRESS, code=old[0]))).code == "bad_code"
    await identity.auth.login("admin", PASSWORD, ADDRESS, code=new[0])


async def test_an_unconfirmed_secret_is_asked_of_nobody(identity: Identity) -> None:
    caller = await identity.caller("admin")
    first = await identity.second_factors.begin(caller, PASSWORD)
    second = await identity.second_factors.begin(caller, PASSWORD)
    assert first.secret != second.secret
    await identity.login("admin")
    async with identity.uows.write() as uow:
        assert await identity.second_factors.pending(uow, caller) == second
        old = code_at(identity, first.secret)
        assert (await refused(identity.second_factors.confirm(uow, caller, old))).code == "bad_code"


async def test_a_second_one_is_refused(identity: Identity) -> None:
    caller = await identity.caller("admin")
    await enrol(identity)
    assert (await refused(identity.second_factors.begin(caller, PASSWORD))).code == "totp_already_enabled"


async def test_it_is_stored_so_that_a_thief_of_the_database_has_nothing(identity: Identity) -> None:
    secret, codes = await enrol(identity)
    async with identity.uows.database.read_session() as session:
        kept = [*await session.execute(text("SELECT * FROM second_factors"))]
        kept += [*await session.execute(text("SELECT * FROM recovery_codes"))]
    assert len(kept) == 11
    for hidden in (secret, *codes):
        assert hidden not in str(kept)


async def test_with_another_signing_secret_recovery_codes_still_work(identity: Identity) -> None:
    secret, codes = await enrol(identity)
    other = build_identity(identity.uows, identity.hasher, "j" * 40, identity.settings).auth
    login = other.login("admin", PASSWORD, ADDRESS, code=code_at(identity, secret))
    assert (await refused(login)).code == "bad_code"
    await other.login("admin", PASSWORD, ADDRESS, code=codes[0])
    await other.aclose()


async def test_personal_tokens_need_no_code(client: Client, identity: Identity) -> None:
    await client.login("admin")
    made = await client.call("POST", "/tokens/", json={"name": "script", "scopes": ["*"]})
    await enrol(identity)
    assert (await client.call("GET", "/users/me", token=made.json()["token"])).status_code == 200
    answer = await client.call("GET", "/second-factor", token=made.json()["token"])
    problem(answer, 403, "session_required")


async def test_an_administrator_takes_it_off_somebody(identity: Identity) -> None:
    user_id = await identity.add_user("ana")
    session = await identity.caller("ana")
    await enrol(identity, "ana")
    async with identity.uows.write() as uow:
        await identity.second_factors.reset(uow, ROOT, user_id)
        await uow.commit()
    await identity.login("ana")
    async with identity.uows.read() as uow:
        assert session.token_family not in await uow.tokens.families(user_id)
    assert identity.events[-2].data == {"user_id": user_id, "username": "ana"}


async def test_taking_it_off_needs_the_right_and_the_power(identity: Identity) -> None:
    user_id = await identity.add_user("ana")
    await identity.add_role("helper", Permission.USER_RESET_FACTOR, "catalogue:read")
    helper = Caller(99, "helper", "helper", frozenset({Permission.USER_RESET_FACTOR}))
    reader = Caller(98, "reader", "reader", frozenset({Permission.USER_WRITE}))
    async with identity.uows.write() as uow:
        reset = identity.second_factors.reset
        assert (await refused(reset(uow, reader, user_id))).code == "permission_missing"
        assert (await refused(reset(uow, helper, ADMIN_ID))).code == "superuser_only"
        assert (await refused(reset(uow, helper, user_id))).code == "beyond_your_rights"


async def test_over_http(client: Client, identity: Identity) -> None:
    body = {"email": "admin", "password": PASSWORD}
    await client.login("admin")
    assert (await client.call("GET", "/second-factor")).json()["enabled"] is False
    problem(await client.call("POST", "/second-factor", json={"password": "wrong"}), 422, "wrong_password")
    begun = await client.call("POST", "/second-factor", json={"password": PASSWORD})
    assert (begun.status_code, begun.headers["cache-control"]) == (201, "no-store")
    enrolment = begun.json()
    address = urlsplit(enrolment["uri"])
    assert (address.scheme, address.netloc, unquote(address.path)) == ("otpauth", "totp", "/Parcela:admin@lab.local")
    assert parse_qs(address.query) == {"secret": [enrolment["secret"]], "issuer": ["Parcela"]}
    assert enrolment["qr_svg"].startswith("<svg")
    problem(await client.call("POST", "/second-factor/confirm", json={"code": "000000"}), 422, "bad_code")
    code = code_at(identity, enrolment["secret"])
    codes = (await client.call("POST", "/second-factor/confirm", json={"code": code})).json()["recovery_codes"]
    state = (await client.call("GET", "/second-factor")).json()
    assert (state["enabled"], state["recovery_codes_left"]) == (True, 10)
    problem(await client.call("POST", "/login", token="", json=body), 401, "totp_required")
    problem(await client.call("POST", "/login", token="", json=body | {"totp_code": code}), 401, "bad_code")
    assert (await client.call("POST", "/login", token="", json=body | {"totp_code": codes[0]})).status_code == 200


async def test_sessions_are_listed_and_ended(client: Client, identity: Identity) -> None:
    first = await client.login("admin")
    identity.clock.turn(10)
    await client.login("admin")
    sessions = (await client.call("GET", "/sessions/")).json()["items"]
    assert [session["current"] for session in sessions] == [False, True]
    assert {session["ip"] for session in sessions} == {ADDRESS}
    assert sessions[0]["agent"].startswith("python-httpx2")
    assert "family" not in sessions[0]
    renewed = await client.call("POST", "/token/refresh", token="", json={"refresh_token": first["refresh_token"]})
    again = (await client.call("GET", "/sessions/?sort=-id")).json()["items"][0]
    same = ("id", "started_at", "agent")
    assert {name: again[name] for name in same} == {name: sessions[0][name] for name in same}, "it is the same session"
    assert again["renewed_at"] > again["started_at"]
    assert (await client.call("DELETE", f"/sessions/{again['id']}")).status_code == 204
    problem(await client.call("DELETE", f"/sessions/{again['id']}"), 404, "session_not_found")
    problem(await client.call("GET", "/users/me", token=renewed.json()["access_token"]), 401, "token_revoked")
    problem(await client.call("DELETE", "/sessions/nonsense"), 422, "request_invalid")


async def test_other_sessions_are_ended_at_once(client: Client, identity: Identity) -> None:
    others = [await client.login("admin") for _ in range(2)]
    await client.login("admin")
    assert (await client.call("DELETE", "/sessions/")).status_code == 204
    assert len((await client.call("GET", "/sessions/")).json()["items"]) == 1
    for other in others:
        problem(await client.call("GET", "/users/me", token=other["access_token"]), 401, "token_revoked")
    ended = [event for event in identity.events if event.type == "auth.session_ended"]
    assert len(ended[0].data["sessions"]) == 2


async def test_sessions_of_others_are_nobodys(client: Client, identity: Identity) -> None:
    await identity.add_user("ana")
    await client.login("ana")
    theirs = (await client.call("GET", "/sessions/")).json()["items"][0]["id"]
    await client.login("admin")
    problem(await client.call("DELETE", f"/sessions/{theirs}"), 404, "session_not_found")


async def test_a_password_must_not_be_the_name(client: Client, identity: Identity) -> None:
    await client.login("admin")
    body = {"email": "anaquispe@lab.local", "username": "anaq", "password": "AnaQuispe2031"}
    problem(await client.call("POST", "/users/", json=body), 422, "password_is_name")
    made = await client.call("POST", "/users/", json=body | {"password": "correct horse"})
    path = f"/users/{made.json()['id']}"
    problem(await client.call("PATCH", path, json={"password": "anaquispe!"}), 422, "password_is_name")
    problem(await client.call("PATCH", path, json={"password": "password1"}), 422, "password_common")
    change = {"old_password": PASSWORD, "new_password": "admin@lab.local"}
    problem(await client.call("POST", "/users/me/password", json=change), 422, "password_is_name")
