"""A query parameter that a route does not have is refused by every route of the canonical API; older APIs ignore it."""

import re

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from parcela.api.app import include_api
from tests.integration.http.asgi import open_socket
from tests.integration.http.lab import API, Lab, problem

pytestmark = pytest.mark.anyio


def _routes() -> list[tuple[str, str]]:
    """(method, address) of every route of the canonical API; ids are 1."""
    app = FastAPI(openapi_url=None)
    include_api(app)
    found = set()
    for route in iter_route_contexts(app.routes):
        path = re.sub(r"\{[^}]+\}", "1", str(route.path))
        if path.startswith(f"{API}/"):
            found |= {(method, path) for method in getattr(route, "methods", None) or ()}
    return sorted(found)


@pytest.mark.parametrize(("method", "path"), _routes())
async def test_every_route_refuses_them(lab: Lab, method: str, path: str) -> None:
    answer = await lab.http.request(method, f"{path}?limitt=1&x=2", headers=lab.people["admin"].headers)
    body = problem(answer, 422, "unknown_parameter")
    assert [found["where"] for found in body["problems"]] == ["query.limitt", "query.x"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/templates/?search=lab", ["'search'", "There are:", "name"]),
        ("/audit?actor_id=3", ["'actor_id'"]),
        ("/virtual-machines/?limt=5", ["Is 'limit' meant?"]),
        ("/virtual-machines/?limit=5&statu=running", ["Is 'status' meant?"]),
        ("/flavours/1?x=1", ["This address takes none."]),
    ],
)
async def test_the_first_reason_stands_in_the_sentence(lab: Lab, path: str, words: list[str]) -> None:
    body = problem(await lab.call("GET", path, "admin"), 422, "unknown_parameter")
    assert all(word in body["detail"] for word in words), body["detail"]


@pytest.mark.parametrize("path", ["/vms/?page=2", "/api/maquinas/listar?page=2", "/flavours?page=2"])
async def test_older_apis_ignore_what_their_originals_ignored(lab: Lab, path: str) -> None:
    answer = await lab.http.get(path, headers=lab.people["admin"].headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/events/ws", "sinc=1", "'sinc' here. Is 'since' meant?"),
        ("/events/ws", "since=0&slice_ids=1", "Is 'slice_id' meant?"),
        ("/virtual-machines/1/console/serial", "tickt=x", "Is 'ticket' meant?"),
    ],
)
async def test_sockets_refuse_them(lab: Lab, path: str, query: str, words: str) -> None:
    headers = lab.people["owner"].headers
    async with open_socket(lab.app, f"{API}{path}", headers=headers, query=query) as socket:
        code, reason = await socket.closed()
    assert code == 4400
    assert reason.startswith("unknown_parameter: ")
    assert words in reason


async def test_sockets_say_which_value_is_wrong(lab: Lab) -> None:
    async with open_socket(
        lab.app, f"{API}/events/ws", headers=lab.people["owner"].headers, query="since=-1"
    ) as socket:
        code, reason = await socket.closed()
    assert (code, reason.partition(":")[0]) == (4400, "request_invalid")
    assert "query.since" in reason


async def test_sockets_of_older_apis_ignore_them(lab: Lab) -> None:
    async with open_socket(lab.app, "/ws/vms", headers=lab.people["owner"].headers, query="page=2") as socket:
        assert socket.subprotocol is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/virtual-machines/?status=running&status=stopped", "status"),
        ("/machines/?area=A&limit=5&area=B", "area"),
        ("/reports/maintenance?since=2026-01-01&since=2026-02-01", "since"),
        ("/audit?from=2026-01-01T00:00:00Z&from=2026-01-01T00:00:00Z", "from"),
        ("/flavours/?limit=1&limit=2", "limit"),
    ],
)
async def test_a_second_value_is_refused_rather_than_taken_for_the_first(lab: Lab, path: str, name: str) -> None:
    body = problem(await lab.call("GET", path, "admin"), 422, "repeated_parameter")
    assert [found["where"] for found in body["problems"]] == [f"query.{name}"]
    assert body["detail"] == f"'{name}' is given 2 times; give it once."


async def test_a_list_takes_several_values(lab: Lab) -> None:
    answer = await lab.call("GET", "/events?type=user.created&type=zone.created", "admin")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/audit?from=2026", "from"),
        ("/audit?to=1767225600", "to"),
        ("/audit/export?from=0", "from"),
        ("/reports/maintenance?since=0", "since"),
        ("/reports/maintenance?until=1767225600", "until"),
        ("/machines/?registered_since=86400", "registered_since"),
        ("/maintenance-records/?until=0", "until"),
    ],
)
async def test_a_number_is_no_day_of_1970(lab: Lab, path: str, name: str) -> None:
    body = problem(await lab.call("GET", path, "admin"), 422, "request_invalid")
    assert [found["where"] for found in body["problems"]] == [f"query.{name}"]
    assert "written as 2031-01-31" in body["problems"][0]["what"]
