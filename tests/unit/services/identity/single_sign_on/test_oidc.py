"""A provider that lies: what it must not get away with. Its transport is ours, its keys are real."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import RSAKey

from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings
from parcela.services.identity.single_sign_on.oidc import OidcClient
from parcela.services.identity.single_sign_on.oidc_flow import Flow, new_flow

pytestmark = pytest.mark.anyio
ISSUER = "https://login.example/realms/lab"
CLIENT = "parcela"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEYS = [RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}) for kid in ("one", "two")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Liar:
    """A provider whose every word can be changed."""

    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)
    keys: list[RSAKey] = field(default_factory=lambda: KEYS[:1])
    key: Any = field(default_factory=lambda: KEYS[0])
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "one"})
    userinfo: dict[str, Any] = field(default_factory=dict)
    asked: list[httpx2.Request] = field(default_factory=list)
    odd: Callable[[httpx2.Request], httpx2.Response | None] = lambda _request: None
    nonce: str = ""

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if (answer := self.odd(request)) is not None:
            return answer
        path = request.url.path.removeprefix("/realms/lab")
        if path == "/.well-known/openid-configuration":
            addresses = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
            known = {name: f"{ISSUER}/{end}" for name, end in addresses.items()}
            return httpx2.Response(200, json={"issuer": ISSUER, **known, **self.metadata})
        if path == "/keys":
            return httpx2.Response(200, json={"keys": [key.as_dict(private=False) for key in self.keys]})
        if path == "/userinfo":
            return httpx2.Response(200, json=self.userinfo)
        assert path == "/token"
        return httpx2.Response(200, json={"access_token": "a", "id_token": self.id_token(), **self.tokens})

    def id_token(self) -> str:
        now = int(NOW.timestamp())
        claims = {"iss": ISSUER, "aud": CLIENT, "sub": "ana", "exp": now + 60, "iat": now, "nonce": self.nonce}
        claims = {name: value for name, value in (claims | self.claims).items() if value is not ...}
        if self.header["alg"] in {"none", "HS256"}:  # by hand: libraries refuse to make such tokens
            parts = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in (self.header, claims)]
            signed = b".".join(part.rstrip(b"=") for part in parts)
            mac = b"" if self.header["alg"] == "none" else hmac.new(self.key, signed, hashlib.sha256).digest()
            return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()
        return jwt.encode(self.header, claims, self.key, algorithms=[self.header["alg"]])

    def asked_for(self, end: str) -> list[httpx2.Request]:
        return [request for request in self.asked if request.url.path.endswith(end)]


def client_of(liar: Liar, **settings: Any) -> OidcClient:
    values = {"PARCELA_OIDC_ISSUER": ISSUER, "PARCELA_OIDC_CLIENT_ID": CLIENT} | settings
    made = Settings(_env_file=None, **values)
    return OidcClient(made, lambda: NOW, transport=httpx2.MockTransport(liar))


async def claims_from(liar: Liar, client: OidcClient | None = None) -> dict[str, Any]:
    client = client or client_of(liar)
    flow = new_flow("https://lab.example/back", "/")
    liar.nonce = liar.nonce or flow.nonce
    try:
        return await client.claims(flow, "code")
    finally:
        await client.aclose()


async def test_the_browser_is_sent_with_all_that_binds_the_answer() -> None:
    client = client_of(Liar())
    flow = new_flow("https://lab.example/back", "/")
    address = urlsplit(await client.start_url(flow))
    await client.aclose()
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{ISSUER}/auth"
    assert dict(parse_qsl(address.query)) == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": "https://lab.example/back",
        "scope": "openid email profile",
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": create_s256_code_challenge(flow.verifier),
        "code_challenge_method": "S256",
    }
    assert len({flow.state, flow.nonce, flow.verifier}) == 3
    assert flow.verifier not in address.query


async def test_the_code_is_swapped_with_the_verifier() -> None:
    liar = Liar()
    client, flow = client_of(liar), Flow("state", "nonce", "verifier", "https://lab.example/back", "/")
    liar.nonce = "nonce"
    assert (await client.claims(flow, "the code"))["sub"] == "ana"
    await client.aclose()
    sent = {name: values[0] for name, values in parse_qs(liar.asked_for("/token")[0].content.decode()).items()}
    assert sent == {
        "grant_type": "authorization_code",
        "code": "the code",
        "redirect_uri": "https://lab.example/back",
        "code_verifier": "verifier",
        "client_id": CLIENT,
    }


@pytest.mark.parametrize(
    ("methods", "place"), [(None, "header"), (["client_secret_basic"], "header"), (["client_secret_post"], "form")]
)
async def test_the_secret_goes_where_the_provider_wants_it(methods: list[str] | None, place: str) -> None:
    liar = Liar(metadata={"token_endpoint_auth_methods_supported": methods})
    await claims_from(liar, client_of(liar, PARCELA_OIDC_CLIENT_SECRET="a:b/c"))
    request = liar.asked_for("/token")[0]
    form = parse_qs(request.content.decode())
    header = request.headers.get("authorization", "")
    if place == "header":
        assert base64.b64decode(header.removeprefix("Basic ")).decode() == "parcela:a%3Ab%2Fc"
        assert "client_secret" not in form
    else:
        assert (header, form["client_secret"]) == ("", ["a:b/c"])


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": ...},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": ...},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"exp": int(NOW.timestamp()) - 61},
        {"exp": "soon"},
        {"exp": ...},
        {"iat": int(NOW.timestamp()) + 3600},
        {"iat": ...},
        {"nbf": int(NOW.timestamp()) + 3600},
        {"nonce": "another"},
        {"nonce": ...},
        {"nonce": None},
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"at_hash": "wrong"},
    ],
    ids=str,
)
async def test_claims_that_are_not_accepted(claims: dict[str, Any]) -> None:
    with pytest.raises(ParcelaError) as caught:
        await claims_from(Liar(claims=claims))
    assert caught.value.code == "oidc_refused"


@pytest.mark.parametrize("claims", [{"aud": [CLIENT]}, {"aud": [CLIENT, "another"], "azp": CLIENT}, {"extra": [1]}])
async def test_claims_that_are_fine(claims: dict[str, Any]) -> None:
    assert (await claims_from(Liar(claims=claims)))["sub"] == "ana"


@pytest.mark.parametrize(
    "liar",
    [
        Liar(header={"alg": "none"}),
        Liar(header={"alg": "none"}, metadata={"id_token_signing_alg_values_supported": ["none", "RS256"]}),
        Liar(key=KEYS[1]),
        Liar(key=KEYS[1], header={"alg": "RS256"}),
        Liar(key=KEYS[1], header={"alg": "RS256", "kid": "two"}),
        Liar(key=b"client secret of us", header={"alg": "HS256"}),
        Liar(
            key=KEYS[0].as_pem(private=False),
            header={"alg": "HS256", "kid": "one"},
            metadata={"id_token_signing_alg_values_supported": ["HS256", "RS256"]},
        ),
        Liar(header={"alg": "PS256", "kid": "one"}),
        Liar(keys=[]),
        Liar(tokens={"id_token": None}),
        Liar(tokens={"id_token": "a.b.c"}),
        Liar(tokens={"id_token": "é"}),
        Liar(metadata={"id_token_signing_alg_values_supported": ["none"]}),
    ],
    ids=lambda liar: f"{liar.header} {liar.tokens} {liar.metadata}",
)
async def test_signatures_that_are_not_accepted(liar: Liar) -> None:
    with pytest.raises(ParcelaError) as caught:
        await claims_from(liar)
    assert caught.value.code == "oidc_refused"


async def test_keys_that_are_no_signing_keys_of_the_provider_are_passed_over() -> None:
    odd = [{"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "use": "enc"}, "rubbish"]
    liar = Liar()
    liar.odd = lambda request: (
        httpx2.Response(200, json={"keys": [*odd, KEYS[0].as_dict(private=False)]})
        if request.url.path.endswith("/keys")
        else None
    )
    assert (await claims_from(liar))["sub"] == "ana"


async def test_a_new_key_is_fetched_but_not_for_every_rubbish() -> None:
    liar, times = Liar(), [NOW]
    made = Settings(_env_file=None, PARCELA_OIDC_ISSUER=ISSUER, PARCELA_OIDC_CLIENT_ID=CLIENT)
    client = OidcClient(made, lambda: times[0], transport=httpx2.MockTransport(liar))
    flow = new_flow("https://lab.example/back", "/")
    liar.nonce = flow.nonce
    await client.claims(flow, "code")
    liar.keys, liar.key, liar.header = KEYS, KEYS[1], {"alg": "RS256", "kid": "two"}
    for _ in range(2):
        with pytest.raises(ParcelaError):
            await client.claims(flow, "code")
    assert len(liar.asked_for("/keys")) == 1
    times[0] = datetime(2030, 1, 1, 0, 1, tzinfo=UTC)
    await client.claims(flow, "code")
    assert len(liar.asked_for("/keys")) == 2
    assert len(liar.asked_for("openid-configuration")) == 1
    await client.aclose()


async def test_what_is_missing_comes_from_userinfo_of_the_same_person() -> None:
    metadata = {"userinfo_endpoint": f"{ISSUER}/userinfo"}
    liar = Liar(metadata=metadata, userinfo={"sub": "ana", "email": "ana@lab.example", "iss": "https://evil.example"})
    claims = await claims_from(liar)
    assert (claims["email"], claims["iss"]) == ("ana@lab.example", ISSUER)
    assert liar.asked_for("/userinfo")[0].headers["authorization"] == "Bearer a"
    with pytest.raises(ParcelaError) as caught:
        await claims_from(Liar(metadata=metadata, userinfo={"sub": "boss", "email": "boss@lab.example"}))
    assert caught.value.code == "oidc_refused"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://login.example/token"},
        {"token_endpoint": "http://127.0.0.1/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
        {"userinfo_endpoint": "http://login.example/userinfo"},
    ],
    ids=str,
)
async def test_a_description_that_cannot_be_trusted(metadata: dict[str, Any]) -> None:
    client = client_of(Liar(metadata=metadata))
    with pytest.raises(ParcelaError) as caught:
        await client.start_url(new_flow("https://lab.example/back", "/"))
    await client.aclose()
    assert caught.value.code == "oidc_unavailable"
    assert client.trouble


def _break(_request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("gone")


@pytest.mark.parametrize(
    "answer",
    [
        lambda _request: httpx2.Response(500),
        lambda _request: httpx2.Response(302, headers={"location": "https://evil.example"}),
        lambda _request: httpx2.Response(200, text="<html>"),
        lambda _request: httpx2.Response(200, json=[]),
        lambda _request: httpx2.Response(200, text="[" * 100_000),
        lambda _request: httpx2.Response(200, content=b" " * 1_100_000),
        _break,
    ],
    ids=["500", "redirect", "no json", "a list", "deep", "large", "away"],
)
async def test_answers_that_are_none(answer: Callable[[httpx2.Request], httpx2.Response]) -> None:
    client = client_of(Liar(odd=answer))
    with pytest.raises(ParcelaError) as caught:
        await client.start_url(new_flow("https://lab.example/back", "/"))
    await client.aclose()
    assert (caught.value.code, caught.value.retry_after_s) == ("oidc_unavailable", 30)


async def test_a_provider_that_comes_back_is_believed() -> None:
    liar = Liar(odd=lambda _request: httpx2.Response(500))
    client = client_of(liar)
    with pytest.raises(ParcelaError):
        await client.metadata()
    liar.odd = lambda _request: None
    await client.metadata()
    await client.aclose()
    assert client.trouble == ""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PARCELA_OIDC_ISSUER": "http://login.example"}, "https"),
        ({"PARCELA_OIDC_ISSUER": "login.example"}, "https"),
        ({"PARCELA_OIDC_CLIENT_ID": ""}, "needed"),
        ({"PARCELA_OIDC_ROLE_MAP": "staff"}, "pairs"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        client_of(Liar(), **settings)


def test_groups_may_hold_equals_signs() -> None:
    made = Settings(_env_file=None, PARCELA_OIDC_ROLE_MAP="cn=staff=admin, students = client")
    assert made.oidc_roles == (("cn=staff", "admin"), ("students", "client"))
