"""What pages of another origin are shown of the older API ``vms``: axios sees no status without the CORS headers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from parcela.services.compute.vms import VmService
from tests.integration.http.lab import ORIGIN, Lab, make_settings, open_lab

pytestmark = pytest.mark.anyio
REACT = "http://localhost:5173"


@pytest.fixture
async def limited(schema: Path, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    """An installation that is asked too often at once."""
    async with open_lab(make_settings(tmp_path, schema, PARCELA_RATE_LIMIT_ANONYMOUS="20/year")) as lab:
        yield lab


def is_shown(answer: httpx2.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize("path", ["/login", "/users", "/users/", "/users/7", "/vms", "/vms/", "/vms/7"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_preflights(lab: Lab, method: str, path: str) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization,content-type"}
    answer = await lab.http.options(path, headers=asked | {"Origin": ORIGIN})
    is_shown(answer, 200)
    assert method in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    # A setting, and never a default: a page on this machine would have the browser of whoever is logged in.
    foreign = await lab.http.options(path, headers=asked | {"Origin": REACT})
    assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize(
    ("status", "by", "method", "path", "body"),
    [
        (307, None, "GET", "/users", None),
        (307, "admin", "POST", "/vms", {}),
        (401, None, "GET", "/users/", None),
        (401, None, "POST", "/login", {"email": "nobody", "password": "wrong"}),
        (403, "owner", "GET", "/users/", None),
        (403, None, "POST", "/users/", {"name": "a", "email": "a@b.example", "password": "x", "rol": "administrador"}),
        (404, "admin", "GET", "/vms/987654", None),
        (404, "admin", "GET", "/vms/1/nothing/here", None),
        (405, "admin", "PATCH", "/users/1", {}),
        (413, "admin", "POST", "/vms/", {"name": "x" * 3_000_000}),
        (422, "admin", "POST", "/vms/", {"ram": 1}),
    ],
)
async def test_refusals_are_shown(
    lab: Lab, status: int, by: str | None, method: str, path: str, body: dict[str, Any] | None
) -> None:
    headers = {"Origin": ORIGIN} | (lab.people[by].headers if by else {})
    is_shown(await lab.http.request(method, path, headers=headers, json=body), status)


async def test_conflicts_are_shown(lab: Lab) -> None:
    vm = await lab.vm("running", "admin")
    headers = {"Origin": ORIGIN} | lab.people["admin"].headers
    is_shown(await lab.http.put(f"/vms/{vm['id']}", json={"cores": 2}, headers=headers), 409)


async def test_the_limit_of_requests_is_shown(limited: Lab) -> None:
    for _ in range(25):
        answer = await limited.http.get("/users/", headers={"Origin": ORIGIN})
    is_shown(answer, 429)
    assert answer.json()["message"]


async def test_a_crash_is_shown(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of the database is hunter2")

    monkeypatch.setattr(VmService, "page", crash)
    for origin in (ORIGIN, REACT):
        headers = {"Origin": origin} | lab.people["admin"].headers
        answer = await lab.http.get("/vms/", headers=headers)
        assert answer.status_code == 500
        assert "hunter2" not in answer.text
        assert answer.json()["message"]
        assert answer.headers.get("access-control-allow-origin") == (ORIGIN if origin == ORIGIN else None)
