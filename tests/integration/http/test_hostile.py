"""Input that nobody sends by accident: each is refused with a problem of its own, and nothing has changed after it."""

import base64
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from parcela.core.tokens import TokenSigner
from tests.integration.http.hostile_requests import ALL, Hostile
from tests.integration.http.lab import Lab, problem
from tests.integration.http.rights_table import RULES, Rule
from tests.integration.http.rights_targets import TARGETS, filled_path, request_of

pytestmark = pytest.mark.anyio


async def _chunks(total: int) -> AsyncIterator[bytes]:
    """A body without an announced length."""
    for _ in range(total // 65536):
        yield b" " * 65536


@pytest.mark.parametrize("hostile", ALL)
async def test_refused_and_nothing_changed(lab: Lab, hostile: Hostile) -> None:
    options = dict(hostile.options)
    if isinstance(options.get("content"), int):
        options["content"] = _chunks(options["content"])
    before = await lab.counts()
    answer = await lab.call(hostile.method, hostile.path, hostile.by, **options)
    body = problem(answer, hostile.status, hostile.code)
    assert [item["where"] for item in body["problems"]][:1] == ([hostile.where] if hostile.where else [])
    assert all(item["what"] and item["code"] for item in body["problems"])
    assert "X-Evil" not in answer.headers
    assert await lab.counts() == before


# ---- tokens


def _signed(lab: Lab, key: str = "k" * 40, **facts: Any) -> str:
    now = datetime.now(UTC)
    payload = {"sub": str(lab.people["admin"].id), "jti": "0" * 32, "typ": "access", "role": "admin"}
    times = {"iat": int(now.timestamp()), "exp": int((now + timedelta(hours=1)).timestamp())}
    return jwt.encode({"alg": "HS256"}, payload | times | facts, OctKey.import_key(key))


def _unsigned(header: dict[str, Any], token: str) -> str:
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{encoded}.{token.split('.')[1]}."


def _tokens(lab: Lab) -> dict[str, tuple[str, str]]:
    genuine = lab.people["admin"].token
    expired = TokenSigner("k" * 40, lambda: datetime.now(UTC) - timedelta(days=1))
    header, claims, signature = genuine.split(".")
    other = json.loads(base64.urlsafe_b64decode(lab.people["owner"].token.split(".")[1] + "=="))
    other["sub"] = str(lab.people["admin"].id)
    swapped = base64.urlsafe_b64encode(json.dumps(other).encode()).decode().rstrip("=")
    return {
        "expired": (expired.sign(user_id=1, role="admin", kind="access", ttl_s=60)[0], "token_expired"),
        "signed by us, but never given out": (_signed(lab), "token_invalid"),
        "signed with another key": (_signed(lab, "x" * 40), "token_invalid"),
        "alg none": (_unsigned({"alg": "none"}, genuine), "token_invalid"),
        "alg None": (_unsigned({"alg": "None", "typ": "JWT"}, genuine), "token_invalid"),
        "alg RS256": (_unsigned({"alg": "RS256"}, genuine), "token_invalid"),
        "no algorithm": (_unsigned({}, genuine), "token_invalid"),
        "another user's claims": (f"{header}.{swapped}.{signature}", "token_invalid"),
        "without signature": (f"{header}.{claims}.", "token_invalid"),
        "cut": (genuine[:-4], "token_invalid"),
        "deep header": (base64.urlsafe_b64encode(b"[" * 2000).decode() + ".e30.x", "token_invalid"),
        "personal, made up": ("pcl_" + "a" * 43, "token_invalid"),
        "too long": ("a" * 5000, "token_invalid"),
    }


async def test_bad_tokens(lab: Lab) -> None:
    before = await lab.counts()
    for name, (token, code) in _tokens(lab).items():
        answer = await lab.call("GET", "/users/me", None, headers={"Authorization": f"Bearer {token}"})
        body = problem(answer, 401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer"), name
        assert not body["problems"]
    for header in ("", "Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", "Token x"):
        problem(await lab.call("GET", "/users/me", None, headers={"Authorization": header}), 401, "token_missing")
    assert await lab.counts() == before


async def test_a_refresh_token_opens_nothing(lab: Lab) -> None:
    refresh = (await lab.login("owner"))["refresh_token"]
    answer = await lab.call("GET", "/users/me", None, headers={"Authorization": f"Bearer {refresh}"})
    problem(answer, 401, "token_invalid")


# ---- other people's ids

PRIVATE = [rule for rule in RULES.values() if rule.statuses["stranger"] == 404]


@pytest.mark.parametrize("rule", PRIVATE, ids=lambda rule: rule.route)
async def test_somebody_elses_id_looks_like_one_that_is_not_there(lab: Lab, rule: Rule) -> None:
    name = "operation" if str(rule.target).endswith("operation_held") else str(rule.target)
    made = await TARGETS[name](lab)
    options = await request_of(lab, rule.route, made)
    before = await lab.counts()
    answers = []
    missing: object = "f" * 32 if rule.target == "session" else 10**15
    for row_id in (made["id"], missing):
        path = filled_path(rule.path.replace("{version}", "1"), {"id": row_id})
        sent = json.loads(re.sub(rf'"(template|slice)_id": {made["id"]}\b', rf'"\1_id": {row_id}', json.dumps(options)))
        answer = await lab.http.request(rule.method, path, headers=lab.people["stranger"].headers, **sent)
        facts = answer.json()
        # Problem documents have it as 'instance', the family vms as 'request_id'.
        assert facts.pop("instance", None) or facts.pop("request_id")
        facts |= {key: facts[key].replace(str(row_id), "N") for key in ("detail", "message") if key in facts}
        answers.append((answer.status_code, facts, sorted(set(answer.headers) - {"content-length"})))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert await lab.counts() == before
