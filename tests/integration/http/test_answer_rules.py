"""What every answer keeps to: nothing of the Host header in redirects, no details for strangers, nothing in caches."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from parcela.core.cookies import SESSION_COOKIE
from tests.integration.http.lab import Lab, make_settings, open_lab

pytestmark = pytest.mark.anyio
EVIL = "evil.example"
SPELT_HOSTS = [EVIL, f"{EVIL}:8000", f"{EVIL}/path?", f"lab@{EVIL}", "", f"{EVIL}#"]


async def asked(lab: Lab, path: str, host: str, server: str = "192.0.2.1", **headers: str) -> httpx2.Response:
    """A GET as it comes over the wire: with any Host, to an address of this machine."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        own = [(name, value) for name, value in scope["headers"] if name != b"host"]
        named = [(b"host", host.encode())] if host else []
        await lab.app({**scope, "headers": [*named, *own], "server": (server, 8000)}, receive, send)

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
        return await http.get(path, headers=headers)


@pytest.mark.parametrize("host", SPELT_HOSTS)
@pytest.mark.parametrize("path", ["/users", "/vms", "/api/v1/slices", "/api/v1/flavours?limit=3"])
async def test_the_redirect_to_the_final_slash_names_no_host(lab: Lab, path: str, host: str) -> None:
    answer = await asked(lab, path, host, **{"X-Forwarded-Host": EVIL})
    assert answer.status_code == 307
    where = answer.headers["location"]
    assert EVIL not in where.partition("/")[0]
    assert where[0] == "/"
    assert where[1] not in "/\\"


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        "/\n/evil.example",
        " //evil.example",
        "//evil.example/login",
        "javascript:alert(1)",
        "/%09/evil.example",
        "%2f%2fevil.example",
        "/%2f%2fevil.example",
        "/%5cevil.example",
    ],
)
async def test_next_never_leads_to_another_host(lab: Lab, wanted: str) -> None:
    answer = await lab.http.get("/language/es", params={"next": wanted})
    where = answer.headers["location"]
    assert httpx2.URL("http://lab/").join(where).host == "lab"
    assert where[0] == "/"
    assert where[1:2] not in {"/", "\\"}


@pytest.fixture
async def known(tmp_path: Path, schema: Path) -> AsyncIterator[Lab]:
    """A server that knows its public address."""
    settings = make_settings(
        tmp_path, schema, PARCELA_PUBLIC_URL="https://lab.example", PARCELA_ALLOWED_HOSTS="other.example"
    )
    async with open_lab(settings) as lab:
        yield lab


async def test_browsers_under_a_strange_name_are_refused(known: Lab) -> None:
    for path in ("/login", "/metrics", "/api/v1/users/me", "/docs", "/nothing", "/templates/mostrar_plantilla"):
        answer = await asked(known, path, EVIL, Cookie=f"{SESSION_COOKIE}=x", Accept="text/html")
        assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host"), path
        assert answer.headers["x-request-id"]
        assert answer.headers["cache-control"] == "no-store"
    for host in (
        "lab.example",
        "LAB.example.:443",
        "other.example",
        "127.0.0.1:8000",
        "[::1]",
        "localhost",
        "api:8000",
    ):
        assert (await asked(known, "/login", host)).status_code == 200, host
    # Monitors do not know the name, and what a program says with a token no page of a stranger can say.
    assert (await asked(known, "/api/v1/system/health", EVIL)).status_code == 200
    bearer = known.people["admin"].headers
    assert (await asked(known, "/api/v1/users/me", EVIL, **bearer)).status_code == 200


async def test_a_name_that_was_made_to_lead_to_loopback_is_refused(lab: Lab) -> None:
    for server in ("127.0.0.1", "::1", "127.0.0.2"):
        for path in ("/metrics", "/login", "/api/v1/users/"):
            assert (await asked(lab, path, f"{EVIL}:8000", server)).status_code == 421
        assert (await asked(lab, "/login", "localhost:8000", server)).status_code == 200
    assert (await asked(lab, "/login", "lab.example")).status_code == 200  # nobody said which names are ours


async def test_labels_and_their_addresses_come_from_the_setting(known: Lab) -> None:
    machine = await known.make("/machines/", "admin", json={"code": "PC-1", "type": "PC"})
    path = f"/api/v1/machines/{machine['id']}/label"
    first = await asked(known, path, EVIL, **known.people["admin"].headers)
    second = await asked(known, path, "lab.example", **known.people["admin"].headers)
    assert first.status_code == 200
    assert first.text == second.text


@pytest.mark.parametrize("by", [None, "owner"])
async def test_strangers_are_told_up_and_nothing_else(lab: Lab, by: str | None) -> None:
    for path, body in (("/api/v1/system/health", {"status": "up"}), ("/api/sistema/health", {"status": "healthy"})):
        answer = await lab.http.get(path, headers=lab.people[by].headers if by else {})
        assert (answer.status_code, answer.json()) == (200, body)


async def test_a_database_that_is_away_is_down(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> bool:
        return False

    monkeypatch.setattr(lab.services.health, "is_up", away)
    for path, word in (("/api/v1/system/health", "down"), ("/api/sistema/health", "unhealthy")):
        answer = await lab.http.get(path)
        assert (answer.status_code, answer.json()) == (503, {"status": word})


async def test_the_details_are_for_who_may_read_the_system(lab: Lab) -> None:
    for by in ("admin", "reader"):
        checks = (await lab.call("GET", "/system/health", by)).json()["checks"]
        assert {"database", "operations"} <= {check["name"] for check in checks}


async def test_strangers_learn_no_version_and_no_host_name(lab: Lab) -> None:
    pages = ["/", "/login", "/docs", "/redoc", "/nothing", "/api/v1/nothing", "/api/v1/system/health", "/users"]
    answers = [await lab.http.get(path) for path in pages]
    document = (await lab.http.get("/openapi.json")).json()
    assert document["info"]["version"] == "1"
    for answer in answers:
        told = answer.text + str(dict(answer.headers))
        assert "server" not in answer.headers
        assert "x-powered-by" not in answer.headers
        for word in (socket.gethostname(), "uvicorn", "sqlite", "0.1.0"):
            assert word not in told.lower(), answer.url


async def test_a_server_without_a_name_does_not_tell_that_of_the_machine(tmp_path: Path, schema: Path) -> None:
    async with open_lab(make_settings(tmp_path, schema, PARCELA_SERVER_ID="")) as lab:
        told = (await lab.http.get("/login")).headers["x-server-id"]
        assert socket.gethostname() not in told
        assert told.startswith("server-")
        assert told == (await lab.http.get("/api/v1/system/health")).headers["x-server-id"]


async def test_what_comes_with_a_cookie_is_kept_by_nobody(lab: Lab) -> None:
    cookie = {"Cookie": f"{SESSION_COOKIE}={lab.people['owner'].token}"}
    for path in ("/slices", "/flavours", "/templates/mostrar_plantilla", "/api/v1/flavours/", "/events/stream/nothing"):
        answer = await lab.http.get(path, headers=cookie)
        assert answer.headers["cache-control"] == "no-store", path
