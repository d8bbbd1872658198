"""Too many connections, streams and bytes: who has to go, who is refused, and who still gets in."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.compat.support import PASSWORD, Server, serving
from tests.integration.connections.raw import WEBSOCKET, Raw, connected, counted, get, many, status
from tests.support.servers import empty_database

HEALTH = "/api/v1/system/health"
PER_ADDRESS, PER_USER, STREAMS, STREAMS_PER_ADDRESS = 8, 3, 9, 5
CONNECTIONS = 64
JSON = "Host: lab\r\nContent-Type: application/json\r\n"
SHARE_BYTES = 1048576 // 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A small server with much patience."""
    folder: Path = tmp_path_factory.mktemp("small")
    settings = {
        "PARCELA_MAX_CONNECTIONS": str(CONNECTIONS),
        "PARCELA_MAX_CONNECTIONS_PER_ADDRESS": str(PER_ADDRESS),
        "PARCELA_MAX_STREAMS": str(STREAMS),
        "PARCELA_MAX_STREAMS_PER_USER": str(PER_USER),
        "PARCELA_MAX_STREAMS_PER_ADDRESS": str(STREAMS_PER_ADDRESS),
        "PARCELA_HEADER_TIMEOUT_S": "600",
        "PARCELA_BODY_TIMEOUT_S": "600",
        "PARCELA_MAX_UNFINISHED_BODY_BYTES": "1048576",
    }
    with empty_database("sqlite", folder) as url, serving(folder, "sqlite", url, **settings) as running:
        yield running


def token_of(server: Server, name: str, password: str = PASSWORD) -> str:
    body = {"email": f"{name}@class.example", "password": password}
    answer = httpx2.post(f"{server.url}/api/v1/login", json=body, headers={"Connection": "close"}, timeout=60)
    assert answer.status_code == 200, answer.text
    return f"Authorization: Bearer {answer.json()['access_token']}\r\n"


@pytest.fixture(scope="module")
def admin(server: Server) -> str:
    """A header."""
    return f"Authorization: {server.admin_headers()['Authorization']}\r\n"


@pytest.fixture(scope="module")
def users(server: Server) -> list[str]:
    """Headers of four users."""
    return [token_of(server, server.user()) for _ in range(4)]


def events(raw: Raw, user: str, path: str = "/api/v1/events/ws") -> bytes:
    """Open a stream; the beginning of what it says: nothing where it is let in."""
    raw.send(f"GET {path} HTTP/1.1\r\n{WEBSOCKET}{user}\r\n")
    return raw.until(b"\r\n\r\n")


@pytest.fixture
def opened(server: Server) -> Iterator[ExitStack]:
    """Closes at the end, and waits until the server has counted that."""
    with ExitStack() as stack:
        yield stack


def until_no_streams(server: Server, admin: str) -> None:
    while counted(server, admin, r"streams(?:\{[^}]*\})?"):
        pass


def stream_of(opened: ExitStack, server: Server, user: str, source: str) -> Raw:
    raw = opened.enter_context(connected(server, source))
    assert status(events(raw, user)) == 101
    return raw


def test_the_oldest_silent_connections_of_an_address_make_room_for_its_next_ones(server: Server) -> None:
    with many(server, ["127.0.9.1"] * (PER_ADDRESS + 5)) as crowd:
        for raw in crowd[:5]:
            assert raw.until_closed() == b""
        assert status(get(server, HEALTH, "127.0.9.1")) == 200
        assert crowd[-1].is_open()


def test_so_do_unfinished_bodies(server: Server) -> None:
    with many(server, ["127.0.9.2"] * (PER_ADDRESS + 1)) as crowd:
        for raw in crowd:
            raw.send(f"POST /api/v1/login HTTP/1.1\r\n{JSON}Content-Length: 100\r\n\r\n{{")
        assert status(get(server, HEALTH, "127.0.9.2")) == 200
        assert crowd[0].until_closed()[:12] in {b"", b"HTTP/1.1 503"}


def test_an_address_whose_connections_are_all_at_work_is_refused_and_others_are_not(
    server: Server, users: list[str], admin: str, opened: ExitStack
) -> None:
    # Sockets count as at work, refused ones too until their client has answered the close.
    for number in range(STREAMS_PER_ADDRESS):
        stream_of(opened, server, users[number % 2], "127.0.9.3")
    for _ in range(PER_ADDRESS - STREAMS_PER_ADDRESS):
        raw = opened.enter_context(connected(server, "127.0.9.3"))
        assert b"\x11\x4d" in refused(raw, users[2])  # 4429; it stays until its client has closed too
    answer = get(server, HEALTH, "127.0.9.3")
    assert answer == b"" or (status(answer) == 503 and b"retry-after: " in answer)
    assert status(get(server, HEALTH, "127.0.9.4")) == 200
    opened.close()
    until_no_streams(server, admin)
    assert status(get(server, HEALTH, "127.0.9.3")) == 200


def refused(raw: Raw, user: str, path: str = "/api/v1/events/ws") -> bytes:
    """What is said to a stream that finds no place."""
    assert status(events(raw, user, path)) == 101
    return raw.until(b"streams and consoles")


def test_a_full_server_closes_the_oldest_silent_connection_for_the_next_one(server: Server) -> None:
    with many(server, [f"127.0.10.{number}" for number in range(1, CONNECTIONS + 1)]) as crowd:
        assert crowd[0].until_closed() == b""
        for _ in range(20):
            assert status(get(server, HEALTH, "127.0.9.5")) == 200
        assert crowd[-1].is_open()


@pytest.mark.parametrize("path", ["/api/v1/events/ws", "/ws/vms"])
def test_a_user_with_too_many_streams_is_told_why_and_others_get_theirs(
    server: Server, users: list[str], admin: str, opened: ExitStack, path: str
) -> None:
    mine = [stream_of(opened, server, users[0], f"127.0.11.{number}") for number in range(1, PER_USER + 1)]
    with connected(server) as raw:
        answer = refused(raw, users[0], path)
    assert b"\x11\x4dtoo_many_streams: You have 3 streams" in answer  # close code 4429
    for stream in ("/api/v1/events/stream", "/events/stream"):
        cookie = users[0].replace("Authorization: Bearer ", "Cookie: parcela_session=")
        assert status(get(server, stream, headers=users[0] if "api" in stream else cookie)) == 429
    theirs = stream_of(opened, server, users[1], "127.0.11.9")
    assert theirs.is_open()
    mine[0].close()
    while counted(server, admin, r"streams(?:\{[^}]*\})?") > PER_USER:
        pass
    assert stream_of(opened, server, users[0], "127.0.11.8").is_open()
    opened.close()
    until_no_streams(server, admin)


def test_an_event_stream_is_one_of_them(server: Server, users: list[str], admin: str, opened: ExitStack) -> None:
    for number in range(PER_USER):
        raw = opened.enter_context(connected(server, f"127.0.12.{number + 1}"))
        raw.send(f"GET /api/v1/events/stream HTTP/1.1\r\nHost: lab\r\n{users[0]}\r\n")
        raw.until(b": hello")
    with connected(server) as raw:
        assert b"too_many_streams" in refused(raw, users[0])
    opened.close()
    until_no_streams(server, admin)


def test_streams_in_all_have_a_ceiling(server: Server, users: list[str], admin: str, opened: ExitStack) -> None:
    for number in range(STREAMS):
        stream_of(opened, server, users[number % 3], f"127.0.13.{number + 1}")
    with connected(server) as raw:
        assert b"\x11\x97streams_full" in refused(raw, users[3])  # 4503
    assert status(get(server, HEALTH)) == 200
    assert counted(server, admin, r'streams_refused_total\{[^}]*reason="total"[^}]*\}') == 1
    opened.close()
    until_no_streams(server, admin)


def test_bodies_of_strangers_share_a_part_of_the_memory_and_signed_in_people_have_theirs(
    server: Server, users: list[str], admin: str
) -> None:
    half = b"{" + b" " * (SHARE_BYTES * 3 // 4)
    head = f"HTTP/1.1\r\n{JSON}Content-Length: {SHARE_BYTES}\r\n"
    held = r"unfinished_body_bytes(?:\{[^}]*\})?"
    with connected(server) as first, connected(server) as second, connected(server) as mine:
        first.send(f"POST /api/v1/login {head}\r\n")
        first.send(half)
        while counted(server, admin, held) < len(half) - 4096:
            pass
        second.send(f"POST /api/v1/login {head}\r\n")
        second.send(half)
        answer = second.until_closed()
        assert status(answer) == 503
        problem = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert problem["code"] == "bodies_full"
        assert b"retry-after: 10" in answer.lower()
        mine.send(f"POST /api/v1/templates/ {head}{users[0]}\r\n")
        mine.send(half)
        mine.send(b" " * (SHARE_BYTES - len(half) - 1) + b"}")
        assert status(mine.until(b"\r\n\r\n")) == 422
    while counted(server, admin, held):
        pass
