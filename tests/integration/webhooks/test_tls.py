"""Webhooks to a receiver with TLS, whose certificate a private authority signed."""

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from parcela.core.settings import Settings
from parcela.services.webhooks.http_client import Outcome, WebhookHttp, trusted
from tests.integration.webhooks.receiver import Receiver, receiving
from tests.integration.webhooks.test_deliveries import KEY, Hooks, signed_with
from tests.support.certificates import Authority
from tests.support.lab import Lab

pytestmark = pytest.mark.anyio


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path / "authority")


@pytest.fixture
def receiver(authority: Authority) -> Iterator[Receiver]:
    with receiving(authority.server("DNS:hook.example", "IP:127.0.0.1")) as made:
        yield made


def settings(ca_file: Path | None = None) -> Settings:
    return Settings(
        _env_file=None,
        PARCELA_WEBHOOK_CA_FILE=ca_file,
        PARCELA_WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8",
    )


async def post(receiver: Receiver, name: str, ca_file: Path | None) -> Outcome:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with WebhookHttp(settings(ca_file), resolve) as http:
        return await http.post(f"https://{name}:{receiver.port}/hook", b"{}", {})


@pytest.mark.parametrize("name", ["hook.example", "127.0.0.1"])
async def test_one_that_is_trusted_by_the_setting_is_delivered_to(
    receiver: Receiver, authority: Authority, name: str
) -> None:
    outcome = await post(receiver, name, authority.certificate)
    assert (outcome.status, outcome.error) == (200, "")
    assert [request.headers["host"] for request in receiver.requests] == [f"{name}:{receiver.port}"]


async def test_one_that_nobody_trusts_gets_nothing(receiver: Receiver, tmp_path: Path) -> None:
    stranger = Authority.make(tmp_path / "stranger")
    for ca_file in (None, stranger.certificate):
        outcome = await post(receiver, "hook.example", ca_file)
        assert outcome.status is None
        assert outcome.error.startswith("its certificate is not trusted: ")
        assert "certificate" in outcome.error.partition(": ")[2]
    assert receiver.requests == []


async def test_a_certificate_for_another_name_is_refused(receiver: Receiver, authority: Authority) -> None:
    outcome = await post(receiver, "other.example", authority.certificate)
    assert outcome.error.startswith("its certificate is not trusted: Hostname mismatch")
    assert "other.example" in outcome.error
    assert receiver.requests == []


def test_public_authorities_are_trusted_too(authority: Authority) -> None:
    with_ours, without = trusted(settings(authority.certificate)), trusted(settings())
    assert without is True  # the library's own
    assert isinstance(with_ours, ssl.SSLContext)
    assert with_ours.verify_mode is ssl.CERT_REQUIRED
    assert with_ours.check_hostname
    assert with_ours.cert_store_stats()["x509_ca"] > 1


async def test_the_log_of_deliveries_says_what_is_wrong_until_it_is_trusted(
    faulty: Lab, receiver: Receiver, authority: Authority
) -> None:
    own = {"webhook_allowed_networks": ("127.0.0.0/8",), "webhook_attempts": 3}
    hooks = Hooks(faulty, faulty.settings.model_copy(update=own), receiver)
    hook = await hooks.add(url=f"https://127.0.0.1:{receiver.port}/hook")
    [number] = await hooks.happen("test.one")
    await hooks.run()
    [row] = await hooks.rows()
    assert (row.state, row.response_status) == ("pending", None)
    assert row.error.startswith("its certificate is not trusted: ")
    await hooks.pumps.pop().aclose()

    hooks.settings = hooks.settings.model_copy(update={"webhook_ca_file": authority.certificate})
    faulty.clock.turn(60)
    await hooks.run()
    [row] = await hooks.rows()
    assert (row.state, row.attempts, row.response_status) == ("delivered", 2, 200)
    assert receiver.numbers == [number]
    assert signed_with(receiver.requests[0], KEY.secret(hook.salt))
    await hooks.pumps.pop().aclose()
