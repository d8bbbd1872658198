"""What every answer has: problem details, request id, security headers, CORS, compression, ETags."""

import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from parcela.api.etags import etag_of
from parcela.services.catalogue.flavours import FlavourService
from tests.integration.http.lab import API, ORIGIN, Lab, problem

pytestmark = pytest.mark.anyio
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


# ---- problem details


async def test_no_such_route(lab: Lab) -> None:
    problem(await lab.call("GET", "/nothing"), 404, "route_not_found")


async def test_wrong_method(lab: Lab) -> None:
    answer = await lab.call("PUT", "/flavours/")
    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) >= {"GET"}


async def test_every_place_that_is_wrong_is_named(lab: Lab) -> None:
    body = problem(await lab.call("POST", "/flavours/", "admin", json={"vcpus": 0, "x": 1}), 422, "request_invalid")
    assert {item["where"] for item in body["problems"]} == {
        "body.name",
        "body.vcpus",
        "body.memory_mib",
        "body.disk_gib",
        "body.x",
    }
    assert body["type"] == "urn:parcela:problem:request_invalid"
    assert body["title"] == "Invalid"


async def test_a_crash_hides_its_reason(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of the database is hunter2")

    monkeypatch.setattr(FlavourService, "page", crash)
    answer = await lab.call("GET", "/flavours/")
    body = problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    assert body["instance"]
    assert body["instance"] == answer.headers["x-request-id"]


# ---- headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/flavours/", 200),
        ("GET", "/nothing", 404),
        ("GET", "/slices/999999", 404),
        ("PUT", "/flavours/", 405),
        ("POST", "/templates/", 422),
        ("DELETE", "/flavours/1", 403),
    ],
)
async def test_headers_of_every_answer(lab: Lab, method: str, path: str, status: int) -> None:
    answer = await lab.call(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert answer.headers["x-server-id"]
    # A program may keep what it reads with a token and ask again; everything else is kept by nobody.
    assert answer.headers["cache-control"] == ("no-cache, private" if status == 200 else "no-store")
    other = await lab.call(method, path)
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"] != other.headers["x-request-id"]
    if status >= 400:
        assert answer.json()["instance"] == answer.headers["x-request-id"]


async def test_a_body_too_large_has_them_too(lab: Lab) -> None:
    answer = await lab.call("POST", "/templates/", content=b"x" * 3_000_000)
    assert problem(answer, 413, "body_too_large")["instance"] == answer.headers["x-request-id"]
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


async def test_secrets_are_stored_by_nobody_on_the_way(lab: Lab) -> None:
    answers = [
        await lab.call("POST", "/login", None, json={"email": "owner", "password": "correct horse battery"}),
        await lab.call("POST", "/tokens/", json={"name": "laptop", "scopes": ["*"]}),
    ]
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store", "no-store"]


async def test_cors(lab: Lab) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "If-Match"}
    preflight = await lab.http.options(f"{API}/slices/", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    answer = await lab.call("GET", "/slices/", headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    stranger = await lab.call("GET", "/slices/", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers
    refused = await lab.http.options(f"{API}/slices/", headers=asked | {"Origin": "https://evil.example"})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


async def test_scripts_of_other_origins_may_read_the_headers_they_need(lab: Lab) -> None:
    answer = await lab.call("GET", "/slices/", headers={"Origin": ORIGIN})
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed >= {"etag", "location", "retry-after", "x-request-id", "idempotency-replayed"}


# ---- compression


async def test_long_answers_are_compressed(lab: Lab) -> None:
    for _ in range(8):
        await lab.flavour()
    async with lab.http.stream(
        "GET", f"{API}/flavours/", headers=lab.people["owner"].headers | {"Accept-Encoding": "gzip"}
    ) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert len(json.loads(gzip.decompress(raw))["items"]) >= 16


async def test_short_ones_and_those_to_others_are_not(lab: Lab) -> None:
    short = await lab.call("GET", "/flavours/1", headers={"Accept-Encoding": "gzip"})
    plain = await lab.call("GET", "/flavours/", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in short.headers
    assert "content-encoding" not in plain.headers


# ---- ETags


async def _slice(lab: Lab) -> dict[str, Any]:
    return await lab.slice_("draft")


async def _vm(lab: Lab) -> dict[str, Any]:
    return await lab.vm("stopped")


async def _user(lab: Lab) -> dict[str, Any]:
    return await lab.user()


CHANGED = {"name": "changed", "document": {"vms": [{"name": "b", "image": "tiny", "flavour": "tiny"}]}}
Tagged = tuple[str, Callable[[Lab], Awaitable[dict[str, Any]]], str, str, dict[str, Any]]
TAGGED: list[Tagged] = [
    ("/flavours", Lab.flavour, "PATCH", "", {"vcpus": 3}),
    ("/zones", Lab.zone, "PATCH", "", {"description": "Changed"}),
    ("/hosts", Lab.host, "PATCH", "", {"state": "draining"}),
    ("/images", Lab.image, "PATCH", "", {"description": "Changed"}),
    ("/roles", Lab.role, "PATCH", "", {"description": "Changed"}),
    ("/users", _user, "PATCH", "", {"full_name": "Changed"}),
    (
        "/templates",
        Lab.template,
        "PUT",
        "",
        CHANGED,
    ),
    ("/slices", _slice, "POST", "/extend", {"expires_in_s": 7200}),
    ("/virtual-machines", _vm, "PUT", "", {"crash_policy": "restart"}),
]


@pytest.mark.parametrize("tagged", TAGGED, ids=lambda tagged: tagged[0])
async def test_round_trip_of_tags(lab: Lab, tagged: Tagged) -> None:
    prefix, make, method, suffix, change = tagged
    path = f"{prefix}/{(await make(lab))['id']}"
    seen = await lab.call("GET", path, "admin")
    tag = seen.headers["etag"]
    assert tag == etag_of(seen.content)
    unchanged = await lab.call("GET", path, "admin", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    # The middleware made the tag of the bytes it saw; the precondition makes one of the row: they must be the same.
    written = await lab.call(method, path + suffix, "admin", json=change, headers={"If-Match": tag})
    assert written.status_code == 200, written.text
    again = await lab.call("GET", path, "admin", headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag
    lost = await lab.call(method, path + suffix, "admin", json=change, headers={"If-Match": tag})
    problem(lost, 412, "changed_meanwhile")
    assert (await lab.call("GET", path, "admin")).headers["etag"] == again.headers["etag"]
    anything = await lab.call(method, path + suffix, "admin", json=change, headers={"If-Match": "*"})
    assert anything.status_code == 200


async def test_my_own_tag(lab: Lab) -> None:
    tag = (await lab.call("GET", "/users/me")).headers["etag"]
    change = {"full_name": lab.unique("Me")}
    assert (await lab.call("PATCH", "/users/me", json=change, headers={"If-Match": tag})).status_code == 200
    problem(await lab.call("PATCH", "/users/me", json=change, headers={"If-Match": tag}), 412, "changed_meanwhile")


async def test_a_tag_survives_compression(lab: Lab) -> None:
    for _ in range(8):
        await lab.flavour()
    tags = {
        (await lab.call("GET", "/flavours/", headers={"Accept-Encoding": encoding})).headers["etag"].removeprefix("W/")
        for encoding in ("gzip", "identity")
    }
    assert len(tags) == 1


async def test_lists_and_errors(lab: Lab) -> None:
    tag = (await lab.call("GET", "/zones/")).headers["etag"]
    assert (await lab.call("GET", "/zones/", headers={"If-None-Match": tag})).status_code == 304
    await lab.zone()
    assert (await lab.call("GET", "/zones/", headers={"If-None-Match": tag})).status_code == 200
    assert "etag" not in (await lab.call("GET", "/zones/999999")).headers
