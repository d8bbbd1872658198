"""New passwords by mail, against a real mail server, and the outbox that loses none."""

import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyotp
import pytest
from sqlalchemy import text

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.identity.services import build_identity
from parcela.services.identity.sessions import Origin
from parcela.services.identity.users import UserChanges
from parcela.services.mail.outbox import Mail
from parcela.workers.reconcilers.mail_outbox import MailOutbox
from tests.integration.identity.support import (
    ADDRESS,
    PASSWORD,
    ROOT,
    SECRET,
    Identity,
    open_client,
    open_identity,
    problem,
    together,
)
from tests.support.mailbox import ACCOUNT, Mailbox, mail_server
from tests.support.mailbox import SECRET as MAIL_SECRET

pytestmark = pytest.mark.anyio
SITE = "https://lab.example"
NEW = "a new and longer one"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


def mail_settings(port: int, **more: Any) -> dict[str, Any]:
    return {
        "PARCELA_SMTP_HOST": "127.0.0.1",
        "PARCELA_SMTP_PORT": port,
        "PARCELA_SMTP_SECURITY": "none",
        "PARCELA_PUBLIC_URL": SITE,
    } | more


@asynccontextmanager
async def open_mailing(url: str, folder: Path, mailbox: Mailbox) -> AsyncIterator[Identity]:
    async with open_identity(url, folder, **mail_settings(mailbox.port)) as made:
        await made.add_user("ana", locale="es", full_name="Ana Quispe")
        yield made


@pytest.fixture
async def mailing(sqlite_url: str, tmp_path: Path, mailbox: Mailbox, anyio_backend: str) -> AsyncIterator[Identity]:
    async with open_mailing(sqlite_url, tmp_path, mailbox) as made:
        yield made


@pytest.fixture
async def anywhere(any_url: str, tmp_path: Path, mailbox: Mailbox, anyio_backend: str) -> AsyncIterator[Identity]:
    async with open_mailing(any_url, tmp_path, mailbox) as made:
        yield made


async def ask(identity: Identity, name: str = "ana", address: str = ADDRESS) -> None:
    await identity.password_resets.request(name, address)
    await identity.mail.settle()


def token_in(mailbox: Mailbox, number: int = -1) -> str:
    found = re.search(rf"{SITE}/password/reset\?token=(\S+)", mailbox.words(number))
    assert found, mailbox.words(number)
    return found[1]


async def refused(work: Any) -> ParcelaError:
    with pytest.raises(ParcelaError) as caught:
        await work
    return caught.value


async def outbox(identity: Identity) -> list[Any]:
    async with identity.uows.database.read_session() as session:
        return list(await session.execute(text("SELECT kind, recipient, state, attempts, last_error FROM mail_outbox")))


async def test_a_new_password_by_mail(anywhere: Identity, mailbox: Mailbox) -> None:
    old = await anywhere.login("ana")
    await ask(anywhere, "Ana@Lab.Local ")
    mail = mailbox.mails[0]
    assert (mail["To"], mail["Subject"]) == ("ana@lab.local", "Una nueva contraseña para Parcela")
    assert "Hola, Ana Quispe:" in mailbox.words()
    assert mail["Auto-Submitted"] == "auto-generated"
    await anywhere.password_resets.complete(token_in(mailbox), NEW)
    await anywhere.login("ana", NEW)
    assert (await refused(anywhere.login("ana", PASSWORD))).code == "bad_credentials"
    assert (await refused(anywhere.auth.authenticate(old.access_token, ADDRESS))).code == "token_revoked"
    await anywhere.mail.settle()
    assert mailbox.mails[1]["Subject"] == "Tu contraseña de Parcela ha cambiado"
    assert await outbox(anywhere) == []


async def test_a_link_is_good_once(anywhere: Identity, mailbox: Mailbox) -> None:
    await ask(anywhere)
    await ask(anywhere)
    first, second = token_in(mailbox, 0), token_in(mailbox, 1)
    outcomes = await together(*(anywhere.password_resets.complete(second, f"{NEW} {n}") for n in range(3)))
    assert [isinstance(outcome, ParcelaError) for outcome in outcomes].count(False) == 1
    for spent in (first, second):
        assert (await refused(anywhere.password_resets.complete(spent, NEW))).code == "reset_token_invalid"


@pytest.mark.parametrize("change", ["own password", "password", "address", "deactivation"])
async def test_a_link_ends_with_what_it_was_for(mailing: Identity, mailbox: Mailbox, change: str) -> None:
    await ask(mailing)
    token, ana = token_in(mailbox), await mailing.caller("ana")
    if change == "own password":
        await mailing.auth.change_password(ana, PASSWORD, f"{NEW} 1")
    else:
        changes = {
            "password": UserChanges(password_hash=await mailing.users.hash_password(f"{NEW} 1")),
            "address": UserChanges(email="ana@elsewhere.local"),
            "deactivation": UserChanges(is_active=False),
        }[change]
        async with mailing.uows.write() as uow:
            await mailing.users.update(uow, ROOT, ana.user_id, changes)
            await uow.commit()
    assert not await mailing.password_resets.good(token)
    assert (await refused(mailing.password_resets.complete(token, NEW))).code == "reset_token_invalid"


async def test_a_link_ends_after_half_an_hour(mailing: Identity, mailbox: Mailbox) -> None:
    await ask(mailing)
    token = token_in(mailbox)
    mailing.clock.turn(1799)
    assert await mailing.password_resets.good(token)
    mailing.clock.turn(1)
    assert not await mailing.password_resets.good(token)
    assert (await refused(mailing.password_resets.complete(token, NEW))).code == "reset_token_invalid"
    assert await mailing.mail.purge() == 1


async def test_a_bad_password_leaves_the_link_good(mailing: Identity, mailbox: Mailbox) -> None:
    await ask(mailing)
    complete = mailing.password_resets.complete
    assert (await refused(complete(token_in(mailbox), "ana.quispe"))).code == "password_is_name"
    assert (await refused(complete(token_in(mailbox), "password"))).code == "password_common"
    await complete(token_in(mailbox), NEW)


@pytest.mark.parametrize("token", ["", "wrong", "é", "\ud800", "x" * 300])
async def test_what_is_no_token(mailing: Identity, token: str) -> None:
    assert (await refused(mailing.password_resets.complete(token, NEW))).code == "reset_token_invalid"


async def test_an_unknown_account_costs_and_answers_the_same(mailing: Identity, mailbox: Mailbox) -> None:
    statements: list[list[str]] = []
    for name in ("ana", "nobody", "\ud800"):
        await mailing.mail.settle()
        before = await rows(mailing)
        await mailing.password_resets.request(name, ADDRESS)
        after = await rows(mailing)
        statements.append([table for table in after if after[table] == before[table] + 1])
    assert statements[0] == statements[1] == statements[2]
    assert {"password_resets", "mail_outbox", "events"} <= set(statements[0])
    await mailing.mail.settle()
    assert [mail["To"] for mail in mailbox.mails] == ["ana@lab.local"]
    assert await outbox(mailing) == []


async def rows(identity: Identity) -> dict[str, int]:
    counted = {}
    async with identity.uows.database.read_session() as session:
        for table in ("password_resets", "mail_outbox", "events", "users", "api_tokens", "login_throttles"):
            counted[table] = int((await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())  # noqa: S608
    counted["login_throttles"] = 0  # the address counts once only
    return counted


async def test_who_gets_no_mail(mailing: Identity, mailbox: Mailbox) -> None:
    await mailing.add_user("gone", is_active=False)
    await mailing.add_user("elsewhere")
    async with mailing.uows.write() as uow:
        user = await uow.users.by_identifier("elsewhere")
        assert user is not None
        user.password_hash = ""
        await uow.commit()
    for name in ("gone", "elsewhere"):
        await ask(mailing, name)
    assert mailbox.mails == []


async def test_mails_to_an_account_are_limited_and_nobody_is_told(mailing: Identity, mailbox: Mailbox) -> None:
    """Who is told that an account got too many mails has learnt that there is one."""
    for name in ("ana", "ana@lab.local", "nobody") * 3:
        await ask(mailing, name)
    assert len(mailbox.mails) == 3
    assert await mailing.password_resets.good(token_in(mailbox)), "the newest link stays good"
    mailing.clock.turn(300)
    await ask(mailing)
    assert len(mailbox.mails) == 4


async def test_strangers_cannot_keep_the_mail_from_a_person(mailing: Identity, mailbox: Mailbox) -> None:
    await mailing.login("ana")
    for number in range(20):
        await ask(mailing, address=f"203.0.113.{number}")
    assert len(mailbox.mails) == 6, "of all strangers together"
    await ask(mailing)
    assert len(mailbox.mails) == 7
    await mailing.password_resets.complete(token_in(mailbox), NEW)


async def test_one_stranger_cannot_keep_the_mail_from_a_person_at_a_new_address(
    mailing: Identity, mailbox: Mailbox
) -> None:
    for _ in range(20):
        await ask(mailing, address="203.0.113.66")
    assert len(mailbox.mails) == 3
    await ask(mailing)
    assert len(mailbox.mails) == 4


async def test_requests_of_an_address_for_whatever_accounts_are_limited(mailing: Identity) -> None:
    for number in range(30):
        await mailing.password_resets.request(f"user{number}", ADDRESS)
    error = await refused(mailing.password_resets.request("ana", ADDRESS))
    assert (error.kind, error.code, error.retry_after_s) == (ErrorKind.RATE_LIMITED, "too_many_attempts", 5)


async def test_who_completed_a_reset_gets_in_while_strangers_guess(mailing: Identity, mailbox: Mailbox) -> None:
    await ask(mailing)
    await mailing.password_resets.complete(token_in(mailbox), NEW, Origin("198.51.100.9"))
    for number in range(30):
        await together(mailing.auth.login("ana", "wrong", f"203.0.113.{number}"))
    await mailing.login("ana", NEW, "198.51.100.9")


async def test_the_second_factor_stays(mailing: Identity, mailbox: Mailbox) -> None:
    caller = await mailing.caller("ana")
    secret = (await mailing.second_factors.begin(caller, PASSWORD)).secret
    code = _code(mailing, secret)
    async with mailing.uows.write() as uow:
        await mailing.second_factors.confirm(uow, caller, code)
        await uow.commit()
    await ask(mailing)
    await mailing.password_resets.complete(token_in(mailbox), NEW)
    assert (await refused(mailing.login("ana", NEW))).code == "totp_required"


def _code(identity: Identity, secret: str) -> str:
    return pyotp.TOTP(secret).at(int(identity.clock().timestamp()))


async def test_the_database_holds_neither_token_nor_text(mailing: Identity, mailbox: Mailbox) -> None:
    mailbox.refusals = ["451 later"]
    await ask(mailing)
    async with mailing.uows.database.read_session() as session:
        kept = str([*await session.execute(text("SELECT * FROM mail_outbox"))])
        kept += str([*await session.execute(text("SELECT * FROM password_resets"))])
    mailing.clock.turn(10)
    mailing.mail.wake()
    await mailing.mail.settle()
    assert token_in(mailbox) not in kept
    assert "Hola" not in kept


async def test_a_mail_that_is_refused_for_now_is_tried_again(mailing: Identity, mailbox: Mailbox) -> None:
    mailbox.refusals = ["451 later", "421 too busy"]
    await ask(mailing)
    assert [(row.state, row.attempts) for row in await outbox(mailing)] == [("queued", 1)]
    async with mailing.uows.read() as uow:
        assert (await mailing.mail.check(uow)).status == "down"
    for pause_s in (9, 1, 30):
        mailing.clock.turn(pause_s)
        await MailOutbox(mailing.mail, mailing.clock).run()
        await mailing.mail.settle()
    assert len(mailbox.mails) == 1
    async with mailing.uows.read() as uow:
        assert (await mailing.mail.check(uow)).status == "ok"


async def test_a_mail_that_is_refused_for_good_is_given_up(mailing: Identity, mailbox: Mailbox) -> None:
    mailbox.refusals = ["550 no such person"]
    await ask(mailing)
    rows_left = await outbox(mailing)
    assert [(row.state, row.attempts) for row in rows_left] == [("failed", 1)]
    assert "no such person" in rows_left[0].last_error
    mailing.clock.turn(31 * 86400)
    await mailing.mail.purge()
    assert await outbox(mailing) == []


async def test_a_mail_that_has_run_out_is_given_up(mailing: Identity, mailbox: Mailbox) -> None:
    mailbox.refusals = ["451 later"]
    await ask(mailing)
    mailing.clock.turn(1800)
    mailing.mail.wake()
    await mailing.mail.settle()
    assert [row.state for row in await outbox(mailing)] == ["failed"]
    assert mailbox.mails == []


async def test_what_a_killed_process_left_is_sent_by_the_next(mailing: Identity, mailbox: Mailbox) -> None:
    mail = Mail("reminder", "ana@lab.local", "Maintenance", "Tomorrow.\n")
    async with mailing.uows.write() as uow:
        await mailing.mail.enqueue(uow, mail)
        uow._hooks.clear()  # it dies between commit and sending
        await uow.commit()
    async with mailing.uows.write() as uow:
        await mailing.mail.enqueue(uow, mail)  # this one is never committed
    other = build_identity(mailing.uows, mailing.hasher, SECRET, mailing.settings)
    await MailOutbox(other.mail, mailing.clock).run()
    await other.mail.settle()
    assert [mail["Subject"] for mail in mailbox.mails] == ["Maintenance"]


async def test_two_processes_send_a_mail_once(anywhere: Identity, mailbox: Mailbox) -> None:
    other = build_identity(anywhere.uows, anywhere.hasher, SECRET, anywhere.settings)
    async with anywhere.uows.write() as uow:
        for number in range(5):
            await anywhere.mail.enqueue(uow, Mail("reminder", "ana@lab.local", f"No. {number}", "x\n"))
        await uow.commit()
    for mail in (anywhere.mail, other.mail):
        mail.wake()
    for mail in (anywhere.mail, other.mail):
        await mail.settle()
    assert sorted(mail["Subject"] for mail in mailbox.mails) == [f"No. {number}" for number in range(5)]


async def test_a_mail_server_that_is_away(sqlite_url: str, tmp_path: Path) -> None:
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        port = gone.getsockname()[1]
        async with open_identity(sqlite_url, tmp_path, **mail_settings(port)) as identity:
            await ask(identity, "admin")
            assert [row.state for row in await outbox(identity)] == ["queued"]
            with mail_server() as back:
                object.__setattr__(identity.settings, "smtp_port", back.port)
                identity.clock.turn(10)
                identity.mail.wake()
                await identity.mail.settle()
                assert len(back.mails) == 1


async def test_starttls_is_insisted_on(sqlite_url: str, tmp_path: Path, mailbox: Mailbox) -> None:
    settings = mail_settings(mailbox.port, PARCELA_SMTP_SECURITY="starttls")
    async with open_identity(sqlite_url, tmp_path, **settings) as identity:
        await ask(identity, "admin")
        assert mailbox.mails == []
        assert [row.state for row in await outbox(identity)] == ["queued"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    return cert, key


async def test_starttls_and_a_login(
    sqlite_url: str, tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(cert, key)
    with mail_server(tls=server_tls) as box:
        account = {"PARCELA_SMTP_USER": ACCOUNT, "PARCELA_SMTP_PASSWORD": MAIL_SECRET}
        settings = mail_settings(box.port, PARCELA_SMTP_SECURITY="starttls", **account)
        async with open_identity(sqlite_url, tmp_path, **settings) as identity:
            await ask(identity, "admin")
            assert box.mails == [], "nobody vouches for that certificate"
            monkeypatch.setenv("SSL_CERT_FILE", str(cert))
            identity.clock.turn(10)
            identity.mail.wake()
            await identity.mail.settle()
            assert (len(box.mails), box.encrypted) == (1, [True])


@pytest.mark.parametrize("missing", ["PARCELA_SMTP_HOST", "PARCELA_PUBLIC_URL"])
async def test_without_a_mail_server_or_an_address(sqlite_url: str, tmp_path: Path, missing: str) -> None:
    async with open_identity(sqlite_url, tmp_path, **mail_settings(9, **{missing: ""})) as identity:
        async with open_client(identity) as client:
            answer = await client.call("POST", "/password-resets", json={"email": "admin"})
            assert missing in problem(answer, 501, "mail_not_configured")["detail"]
        async with identity.uows.read() as uow:
            check = await identity.mail.check(uow)
        assert (check.status, missing in check.detail) == ("ok", True)
        assert await outbox(identity) == []


async def test_over_http(mailing: Identity, mailbox: Mailbox) -> None:
    async with open_client(mailing) as client:
        answers = [await client.call("POST", "/password-resets", json={"email": name}) for name in ("ana", "nobody")]
        assert [(answer.status_code, answer.content) for answer in answers] == [(202, b"null")] * 2
        await mailing.mail.settle()
        body = {"token": token_in(mailbox), "new_password": NEW}
        problem(
            await client.call("POST", "/password-resets/complete", json=body | {"token": "x"}),
            422,
            "reset_token_invalid",
        )
        assert (await client.call("POST", "/password-resets/complete", json=body)).status_code == 204
        await client.login("ana", NEW)
