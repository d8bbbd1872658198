"""Clients that are silent, slow, endless or do not read: the server ends all of them, and tells why where it can."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.support import Server, serving
from tests.integration.connections.raw import PAUSE_S, WEBSOCKET, connected, counted, get, status
from tests.support.servers import empty_database

HEALTH = "/api/v1/system/health"
HEAD = "POST /api/v1/login HTTP/1.1\r\nHost: lab\r\nContent-Type: application/json\r\n"
PERIOD_S = 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little patience."""
    folder: Path = tmp_path_factory.mktemp("hasty")
    settings = {
        "PARCELA_HEADER_TIMEOUT_S": str(PERIOD_S),
        "PARCELA_KEEP_ALIVE_TIMEOUT_S": str(PERIOD_S),
        "PARCELA_BODY_TIMEOUT_S": str(PERIOD_S),
        "PARCELA_WRITE_TIMEOUT_S": str(PERIOD_S),
        "PARCELA_WEBSOCKET_PING_S": str(PERIOD_S),
    }
    with empty_database("sqlite", folder) as url, serving(folder, "sqlite", url, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def admin(server: Server) -> str:
    """A header."""
    return f"Authorization: {server.admin_headers()['Authorization']}\r\n"


def closed(server: Server, admin: str, reason: str) -> int:
    """How many connections were ended for a reason, by the server's own count."""
    return counted(server, admin, f'connections_closed_total{{[^}}]*reason="{reason}"[^}}]*}}')


def test_a_silent_connection_is_closed(server: Server, admin: str) -> None:
    before = closed(server, admin, "header")
    with connected(server) as raw:
        assert raw.until_closed() == b""
    assert closed(server, admin, "header") > before


def test_half_of_the_headers_is_answered_408(server: Server) -> None:
    with connected(server) as raw:
        raw.send("GET / HTTP/1.1\r\nHost: la")
        assert status(raw.until_closed()) == 408


def test_headers_that_come_byte_by_byte_are_answered_408(server: Server) -> None:
    with connected(server) as raw:
        raw.send("GET / HTTP/1.1\r\nHost: lab\r\nX-Long: ")
        assert status(raw.trickle_until_closed(b"x")) == 408


def test_a_slow_handshake_of_a_websocket_is_answered_408(server: Server) -> None:
    with connected(server) as raw:
        raw.send("GET /api/v1/events/ws HTTP/1.1\r\n" + WEBSOCKET)
        assert status(raw.trickle_until_closed(b"x")) == 408


def test_a_connection_that_is_kept_alive_ends_when_nothing_more_is_asked(server: Server) -> None:
    with connected(server) as raw:
        raw.send(f"GET {HEALTH} HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert raw.until_closed().count(b"HTTP/1.1 ") == 1


def test_empty_lines_do_not_keep_it_alive(server: Server) -> None:
    with connected(server) as raw:
        raw.send(f"GET {HEALTH} HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert raw.trickle_until_closed(b"\r\n").count(b"HTTP/1.1 200") == 1


def test_the_second_request_has_a_time_limit_too(server: Server) -> None:
    with connected(server) as raw:
        raw.send(f"GET {HEALTH} HTTP/1.1\r\nHost: lab\r\n\r\n")
        raw.until(b'"status"')
        raw.send("GET / HTTP/1.1\r\nX: ")
        answer = raw.trickle_until_closed(b"x")
    assert answer.count(b"HTTP/1.1 ") == 2
    assert status(answer[answer.rindex(b"HTTP/1.1 ") :]) == 408


@pytest.mark.parametrize(
    ("headers", "begin", "piece"),
    [
        ("Content-Length: 100000\r\n\r\n", "{", b" "),
        ("Content-Length: 100000\r\n\r\n", "", b""),
        ("Transfer-Encoding: chunked\r\n\r\n", "1\r\n{\r\n", b"1\r\n \r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", "1;extension=", b"x"),
        ("Transfer-Encoding: chunked\r\n\r\n", "2\r\n{}\r\n0\r\n", b"X-Trailer: x\r\n"),
    ],
    ids=["slow", "none", "small-chunks", "chunk-extension", "trailers"],
)
def test_a_body_that_does_not_come_is_answered_408(server: Server, headers: str, begin: str, piece: bytes) -> None:
    with connected(server) as raw:
        raw.send(HEAD + headers + begin)
        assert status(raw.trickle_until_closed(piece)) in {408, 431}


def test_a_slow_but_steady_body_is_taken(server: Server) -> None:
    """Several periods long, above the least rate in each of them."""
    pieces, size = 40, 512
    with connected(server) as raw:
        raw.send(HEAD + f"Content-Length: {pieces * size}\r\n\r\n")
        raw.socket.settimeout(PAUSE_S * 2)
        for _ in range(pieces - 1):
            raw.send(b" " * size)
            with pytest.raises(TimeoutError):
                raw.socket.recv(1)
        raw.socket.settimeout(60)
        raw.send(b" " * (size - 2) + b"{}")
        assert status(raw.until(b"\r\n\r\n")) == 422


def test_a_stranger_is_refused_before_the_body_and_need_not_send_it(server: Server, admin: str) -> None:
    with connected(server) as raw:
        raw.send("POST /api/v1/templates/ HTTP/1.1\r\nHost: lab\r\nContent-Type: application/json\r\n")
        raw.send("Content-Length: 2000000\r\n\r\n{")
        assert status(raw.until(b"\r\n\r\n")) == 401
        raw.trickle_until_closed(b" ")
    assert closed(server, admin, "drain") >= 1


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        ("GET / HTTP/1.1\r\nHost: lab\r\nX-Long: ", b"x" * 4096),
        ("GET /", b"x" * 4096),
        ("GET / HTTP/1.1\r\nHost: lab\r\n", b"X-One: 1\r\n" * 400),
        (HEAD + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: ", b"x" * 4096),
    ],
    ids=["one-header", "address", "many-headers", "trailer"],
)
def test_a_flood_of_headers_is_answered_431(server: Server, begin: str, piece: bytes) -> None:
    with connected(server) as raw:
        try:
            raw.send(begin)
            for _ in range(100):
                raw.send(piece)
        except ConnectionError:
            pass  # it was closed while we sent
        answer = raw.until_closed()
        assert raw.cut or status(answer) == 431


def test_requests_on_top_of_each_other_are_answered_in_order(server: Server) -> None:
    with connected(server) as raw:
        for number in range(20):
            raw.send(f"GET /nothing/{number} HTTP/1.1\r\nHost: lab\r\n\r\n")
        raw.send("GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
        assert raw.until_closed().count(b"HTTP/1.1 404") == 20


def test_thousands_of_them_end_the_connection(server: Server) -> None:
    with connected(server) as raw:
        raw.send(b"GET /nothing HTTP/1.1\r\nHost: lab\r\n\r\n" * 2000)
        assert raw.until_closed().count(b"HTTP/1.1 ") < 200
    assert status(get(server, HEALTH)) == 200


def test_a_client_that_does_not_read_is_cut_off(server: Server, admin: str) -> None:
    before = closed(server, admin, "write")
    with connected(server, receive_buffer=4096) as raw:
        for _ in range(40):
            raw.send("GET /openapi.json HTTP/1.1\r\nHost: lab\r\n\r\n")
        while closed(server, admin, "write") == before:
            assert status(get(server, HEALTH)) == 200


def test_many_headers_at_once_are_answered_431(server: Server) -> None:
    with connected(server) as raw:
        raw.send("GET / HTTP/1.1\r\nHost: lab\r\n" + "X-One: 1\r\n" * 200 + "\r\n")
        assert status(raw.until_closed()) == 431


def test_a_body_that_is_no_body_is_answered_400(server: Server) -> None:
    with connected(server) as raw:
        raw.send(HEAD + "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        assert status(raw.until_closed()) == 400


def test_a_websocket_that_answers_no_ping_is_closed(server: Server, admin: str) -> None:
    with connected(server) as raw:
        raw.send(f"GET /api/v1/events/ws HTTP/1.1\r\n{WEBSOCKET}{admin}\r\n")
        answer = raw.until_closed()
    assert status(answer) == 101
    assert b"\x03\xf3keepalive ping timeout" in answer
