"""The limits in our configuration of nginx, with shorter times and a smaller ceiling, in front of a real server."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.compat.support import Server, serving
from tests.integration.connections.raw import WEBSOCKET, connected, get, status
from tests.support.nginx import in_front_of, why_no_nginx
from tests.support.servers import empty_database

HEALTH = "/api/v1/system/health"
PER_ADDRESS = 3
INSTEAD = (
    ("client_header_timeout 15s", "client_header_timeout 1s"),
    ("client_body_timeout 20s", "client_body_timeout 1s"),
    ("limit_conn per_address 1000", f"limit_conn per_address {PER_ADDRESS}"),
)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server by the address of nginx, and the header of its administrator. Its own ceiling is below what is open."""
    if missing := why_no_nginx():
        pytest.skip(missing)
    folder: Path = tmp_path_factory.mktemp("behind")
    settings = {"PARCELA_TRUSTED_PROXIES": "127.0.0.1", "PARCELA_MAX_CONNECTIONS_PER_ADDRESS": "2"}
    with ExitStack() as stack:
        url = stack.enter_context(empty_database("sqlite", folder))
        server = stack.enter_context(serving(folder, "sqlite", url, **settings))
        port = int(server.url.rpartition(":")[2])
        (folder / "nginx").mkdir(mode=0o755)
        front = stack.enter_context(in_front_of(folder / "nginx", [port] * 3, *INSTEAD))
        yield replace(server, url=front), f"Authorization: {server.admin_headers()['Authorization']}\r\n"


def test_half_headers_and_silence_end(proxied: tuple[Server, str]) -> None:
    with connected(proxied[0]) as silent, connected(proxied[0]) as half:
        half.send("GET / HTTP/1.1\r\nHost: la")
        assert half.until_closed()[:12] in {b"", b"HTTP/1.1 408"}
        assert silent.until_closed() == b""


def test_a_body_that_stops_ends(proxied: tuple[Server, str]) -> None:
    with connected(proxied[0]) as raw:
        raw.send("POST /api/v1/login HTTP/1.1\r\nHost: lab\r\nContent-Length: 1000\r\n\r\n{")
        assert raw.until_closed()[:12] in {b"", b"HTTP/1.1 408"}


def test_an_address_has_so_many_and_others_have_theirs_through_the_same_proxy(proxied: tuple[Server, str]) -> None:
    """More than one address may have at the server itself: all of these are the proxy's."""
    server, admin = proxied
    with ExitStack() as stack:
        for source in ("127.0.14.1", "127.0.14.2"):
            for _ in range(PER_ADDRESS):
                raw = stack.enter_context(connected(server, source))
                raw.send(f"GET /api/v1/events/ws HTTP/1.1\r\n{WEBSOCKET}{admin}\r\n")
                assert status(raw.until(b"\r\n\r\n")) == 101
            assert status(get(server, HEALTH, source)) == 503
        assert status(get(server, HEALTH, "127.0.14.3")) == 200
