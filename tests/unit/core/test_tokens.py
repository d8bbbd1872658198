import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.tokens import PERSONAL_PREFIX, TokenSigner, hash_token, new_personal_token, new_secret

SECRET = "k" * 40
NOW = datetime(2030, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signer(clock: Clock) -> TokenSigner:
    return TokenSigner(SECRET, clock)


def refused(signer: TokenSigner, token: str, kind: str = "access") -> str:
    with pytest.raises(ParcelaError) as caught:
        signer.verify(token, kind=kind)
    assert caught.value.kind is ErrorKind.UNAUTHENTICATED
    return caught.value.code


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def claims(**changes: Any) -> dict[str, Any]:
    now = int(NOW.timestamp())
    said = {"sub": "1", "jti": "j", "typ": "access", "role": "admin", "iat": now, "exp": now + 600, **changes}
    return {name: value for name, value in said.items() if value is not None}


def signed(payload: Any, header: dict[str, Any] | None = None, secret: str = SECRET) -> str:
    """HS256 by hand, so that it can say anything."""
    text = f"{part(header or {'alg': 'HS256', 'typ': 'JWT'})}.{part(payload)}"
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def test_what_a_token_says(signer: TokenSigner) -> None:
    token, said = signer.sign(user_id=7, role="client", kind="access", ttl_s=60)
    assert signer.verify(token, kind="access") == said
    assert (said.user_id, said.role, said.kind) == (7, "client", "access")
    assert said.expires_at == NOW.replace(microsecond=0) + timedelta(seconds=60)
    _, payload, _ = token.split(".")
    body = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert set(body) == {"sub", "jti", "typ", "role", "iat", "exp"}
    assert body["sub"] == "7"


def test_no_two_tokens_are_the_same(signer: TokenSigner) -> None:
    made = {signer.sign(user_id=7, role="client", kind="access", ttl_s=60)[0] for _ in range(50)}
    assert len(made) == 50


def test_the_hand_made_one_is_good(signer: TokenSigner) -> None:
    assert signer.verify(signed(claims()), kind="access").user_id == 1


def test_expiry(signer: TokenSigner, clock: Clock) -> None:
    token, said = signer.sign(user_id=7, role="client", kind="access", ttl_s=60)
    clock.now = said.expires_at - timedelta(microseconds=1)
    signer.verify(token, kind="access")
    clock.now = said.expires_at
    assert refused(signer, token) == "token_expired"


def test_kinds(signer: TokenSigner) -> None:
    token, _ = signer.sign(user_id=7, role="client", kind="refresh", ttl_s=60)
    assert refused(signer, token, "access") == "token_invalid"


def test_another_key(signer: TokenSigner) -> None:
    assert refused(signer, signed(claims(), secret="f" * 40)) == "token_invalid"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 7])
def test_no_signature(signer: TokenSigner, alg: Any) -> None:
    for signature in ("", "AA", signed(claims()).rsplit(".", 1)[1]):
        token = f"{part({'alg': alg, 'typ': 'JWT'})}.{part(claims())}.{signature}"
        assert refused(signer, token) == "token_invalid"


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
def test_other_algorithms_with_our_key(signer: TokenSigner, alg: str) -> None:
    token = jwt.encode({"alg": alg}, claims(), OctKey.import_key("k" * 64), algorithms=[alg])
    assert refused(TokenSigner("k" * 64, Clock()), token) == "token_invalid"
    assert refused(signer, signed(claims(), {"alg": alg})) == "token_invalid"


def test_keys_of_other_kinds(signer: TokenSigner) -> None:
    """Signed with a private key of the forger, whose public half comes along in the header."""
    rsa = RSAKey.generate_key(2048)
    token = jwt.encode({"alg": "RS256", "jwk": rsa.as_dict(private=False)}, claims(), rsa, algorithms=["RS256"])
    assert refused(signer, token) == "token_invalid"
    curve = ECKey.generate_key("P-256")
    token = jwt.encode({"alg": "ES256"}, claims(), curve, algorithms=["ES256"])
    assert refused(signer, token) == "token_invalid"


def test_confusion_of_keys(signer: TokenSigner) -> None:
    """HS256 with the bytes of a public key, and RS256 claimed over an HS256 signature of ours."""
    public = RSAKey.generate_key(2048).as_pem(private=False).decode()
    assert refused(signer, signed(claims(), secret=public)) == "token_invalid"
    assert refused(signer, signed(claims(), {"alg": "RS256"})) == "token_invalid"


@pytest.mark.parametrize("header", [{"alg": "HS256", "crit": ["exp"]}, {"alg": "HS256", "b64": False, "crit": ["b64"]}])
def test_headers_we_do_not_understand(signer: TokenSigner, header: dict[str, Any]) -> None:
    assert refused(signer, signed(claims(), header)) == "token_invalid"


@pytest.mark.parametrize("name", ["sub", "jti", "typ", "role", "exp"])
def test_a_claim_is_missing(signer: TokenSigner, name: str) -> None:
    assert refused(signer, signed(claims(**{name: None}))) == "token_invalid"


@pytest.mark.parametrize(
    "changes", [{"sub": "x"}, {"sub": []}, {"exp": "soon"}, {"exp": 1e300}, {"exp": 10**30}, {"typ": "session"}]
)
def test_a_claim_is_odd(signer: TokenSigner, changes: dict[str, Any]) -> None:
    assert refused(signer, signed(claims(**changes))) == "token_invalid"


@pytest.mark.parametrize("payload", [[], "text", 7, None])
def test_a_payload_is_odd(signer: TokenSigner, payload: Any) -> None:
    assert refused(signer, signed(payload)) == "token_invalid"


def test_a_header_as_deep_as_a_request_allows(signer: TokenSigner) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 40_000).decode()
    assert refused(signer, f"{deep}.e30.AA") == "token_invalid"


def test_every_cut_and_every_change_of_a_character_is_noticed(signer: TokenSigner) -> None:
    token, _ = signer.sign(user_id=7, role="client", kind="access", ttl_s=60)
    for place in range(len(token) - 1):
        assert refused(signer, token[:place]) == "token_invalid"
        other = "A" if token[place] != "A" else "B"
        assert refused(signer, token[:place] + other + token[place + 1 :]) == "token_invalid", place


@given(st.one_of(st.text(max_size=60), st.lists(st.binary(max_size=30), min_size=1, max_size=5)))
def test_garbage(garbage: str | list[bytes]) -> None:
    if isinstance(garbage, list):
        garbage = ".".join(base64.urlsafe_b64encode(piece).decode().rstrip("=") for piece in garbage)
    assert refused(TokenSigner(SECRET, Clock()), garbage) == "token_invalid"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "crit", "typ", "b64"]), inner),
    max_leaves=6,
)


@given(json_values)
def test_odd_headers(header: Any) -> None:
    assert refused(TokenSigner(SECRET, Clock()), f"{part(header)}.{part(claims())}.AAAA") == "token_invalid"


def test_secrets() -> None:
    made = {new_personal_token() for _ in range(50)}
    assert len(made) == 50
    assert all(token.startswith(PERSONAL_PREFIX) and len(token) >= 47 and token.isascii() for token in made)
    assert len({new_secret() for _ in range(50)}) == 50
    assert hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
