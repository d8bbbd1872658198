"""Secrets, signatures, types and delays of webhooks; addresses that are refused at once."""

import hashlib
import hmac
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings
from parcela.services.webhooks.http_client import check_url
from parcela.services.webhooks.rules import LONGEST_RETRY_S, WebhookSecrets, fits, retry_delay_s, signature


def test_a_signature_is_an_hmac_of_time_and_body() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    header = signature(["whsec_a", "whsec_b"], at, b'{"id":1}')
    stamp, *marks = header.split(",")
    assert stamp == f"t={int(at.timestamp())}"
    signed = f"{int(at.timestamp())}.".encode() + b'{"id":1}'
    assert marks == [f"v1={hmac.new(key, signed, hashlib.sha256).hexdigest()}" for key in (b"whsec_a", b"whsec_b")]


def test_secrets_need_the_key_and_the_salt() -> None:
    one = WebhookSecrets("k" * 40)
    assert one.secret("a") == WebhookSecrets("k" * 40).secret("a")
    assert len({one.secret("a"), one.secret("b"), WebhookSecrets("j" * 40).secret("a")}) == 3
    assert one.secret("a").startswith("whsec_")
    assert len(one.secret("a")) >= 40


@pytest.mark.parametrize(
    ("wanted", "fit"),
    [([], True), (["*"], True), (["vm.state"], True), (["vm.*"], True), (["v.*"], False), (["slice.*", "vm"], False)],
)
def test_types(wanted: list[str], fit: bool) -> None:
    assert fits("vm.state", wanted) is fit


def test_delays_grow_and_end_and_spread() -> None:
    plain = [retry_delay_s(attempts, 0.5) for attempts in range(1, 21)]
    assert plain[:3] == [10.0, 40.0, 160.0]
    assert all(one <= two for one, two in pairwise(plain))
    assert plain[-1] == LONGEST_RETRY_S
    assert retry_delay_s(1, 0.0) == pytest.approx(8.0)
    assert retry_delay_s(1, 1.0) == pytest.approx(12.0)


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/x",
        "http://hooks.example/x",
        "https://",
        "https:///path",
        "https://user:secret@hooks.example/",
        "https://user@hooks.example/",
        "https://hooks.example/#part",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://[::1/",
        "https://höoks.example/",
        "https://hooks.example/a b",
        "https://hooks.example/\x00",
        "file:///etc/passwd",
        "https://hooks.example/" + "a" * 2000,
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ParcelaError) as caught:
        check_url(url, settings())
    assert caught.value.code == "webhook_url_invalid"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1:8443", "[::ffff:127.0.0.1]"])
def test_addresses_inside_are_refused(host: str) -> None:
    with pytest.raises(ParcelaError) as caught:
        check_url(f"https://{host}/x", settings())
    assert caught.value.code == "webhook_address_refused"


def test_what_the_administrator_allows() -> None:
    own = settings(PARCELA_WEBHOOK_ALLOWED_NETWORKS="10.0.0.0/8", PARCELA_WEBHOOK_PLAIN_HTTP=True)
    check_url("http://10.0.0.1:8080/x", own)
    check_url("https://hooks.example/x?y=1", settings())
