"""The limit of requests over HTTP."""

import math
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.http.lab import ORIGIN, Lab, make_settings, open_lab, problem

pytestmark = pytest.mark.anyio
LIMIT = 40


@pytest.fixture
async def limited(schema: Path, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    """An installation in which a user has 40 requests a year; the making of its people uses some."""
    rates = {"PARCELA_RATE_LIMIT": f"{LIMIT}/year", "PARCELA_RATE_LIMIT_ANONYMOUS": f"{LIMIT}/year"}
    async with open_lab(make_settings(tmp_path, schema, **rates)) as lab:
        yield lab


async def test_every_answer_says_what_is_left(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/virtual-machines/"
    now = time.time()
    monkeypatch.setattr(lab.services.rate_limits, "_now", lambda: now)  # no new minute begins between two requests
    for status, headers in ((200, {}), (200, {}), (304, {"If-None-Match": "*"})):  # the second comes from the cache
        before = await lab.call("GET", "/users/me")
        answer = await lab.call("GET", path, headers=headers)
        assert answer.status_code == status
        assert answer.headers["RateLimit-Policy"] == f"{answer.headers['RateLimit-Limit']};w=60"
        assert int(answer.headers["RateLimit-Reset"]) == math.ceil((now // 60 + 1) * 60 - now)
        left, left_before = (int(one.headers["RateLimit-Remaining"]) for one in (answer, before))
        assert left == left_before - 1
    missing = await lab.http.get("/nothing-here")
    assert "RateLimit-Remaining" in missing.headers


@pytest.mark.parametrize("path", ["/api/v1/system/health", "/api/sistema/health", "/metrics", "/static/nothing.js"])
async def test_what_monitors_and_browsers_load_is_not_counted(lab: Lab, path: str) -> None:
    assert "RateLimit-Limit" not in (await lab.http.get(path)).headers


async def test_a_user_who_is_over_waits_and_others_do_not(limited: Lab) -> None:
    for _ in range(LIMIT + 1):
        answer = await limited.call("GET", "/users/me", "owner")
        if answer.status_code == 429:
            break
    problem(answer, 429, "rate_limited")
    assert answer.headers["RateLimit-Remaining"] == "0"
    assert answer.headers["Retry-After"] == answer.headers["RateLimit-Reset"]
    assert answer.headers["X-Request-Id"]
    assert (await limited.call("GET", "/users/me", "stranger")).status_code == 200
    second = await limited.login("owner")
    answer = await limited.http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {second['access_token']}"})
    assert answer.status_code == 429  # another session is no way around


async def test_bad_tokens_count_by_address(limited: Lab) -> None:
    statuses = [
        (await limited.http.get("/api/v1/users/me", headers={"Authorization": f"Bearer guess{i}"})).status_code
        for i in range(LIMIT + 1)
    ]
    assert set(statuses) == {401, 429}
    assert (await limited.call("GET", "/users/me", "owner")).status_code == 200


async def test_scripts_of_allowed_origins_may_read_the_limit(limited: Lab) -> None:
    for _ in range(LIMIT + 1):
        answer = await limited.http.get("/api/v1/users/me", headers={"Origin": ORIGIN})
    assert answer.status_code == 429
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]
