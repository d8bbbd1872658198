"""Three real replicas on PostgreSQL and Redis behind real nginx act as one server."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from parcela.db.database import Database
from parcela.repositories.uow import UnitOfWorkFactory
from tests.compat.siglab_client import Pages
from tests.compat.support import ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD, Server, serving
from tests.integration.deploy.listeners import last_id, listening, reluctant, take, take_all
from tests.support.nginx import check, in_front_of, render, why_no_nginx
from tests.support.servers import empty_database, why_missing

pytestmark = [pytest.mark.store, pytest.mark.database]
API = "/api/v1"
PATIENCE_S = 240.0
BULK, BULKS, BULK_CHARS = 200, 12, 4000
SECRET = "the same key for every replica, long enough"
CLIENT_ADDRESS = "127.0.0.5"


@dataclass(frozen=True)
class Farm:
    """The address of nginx, the replicas behind it, and their database."""

    url: str
    database: str
    replicas: list[Server]

    def client(self, **options: Any) -> httpx2.Client:
        """Somebody whose every request takes a connection of its own, so that nginx chooses anew."""
        return httpx2.Client(base_url=self.url + API, headers={"Connection": "close"}, timeout=PATIENCE_S, **options)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    redis = os.environ.get("PARCELA_TEST_REDIS_URL", "")
    missing = why_no_nginx() or why_missing("postgres") or ("" if redis else "no Redis: run under the test lab")
    if missing:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("farm")
    with ExitStack() as stack:
        database = stack.enter_context(empty_database("postgres", folder))
        replicas = []
        for number in (1, 2, 3):
            own = folder / f"replica-{number}"
            own.mkdir()
            settings = {
                "REDIS_URL": redis,
                "PARCELA_SECRET_KEY": SECRET,
                "PARCELA_SERVER_ID": f"replica-{number}",
                "PARCELA_TRUSTED_PROXIES": "127.0.0.1",
            }
            replicas.append(stack.enter_context(serving(own, "postgres", database, **settings)))
        (folder / "nginx").mkdir(mode=0o755)
        ports = [int(replica.url.rpartition(":")[2]) for replica in replicas]
        yield Farm(stack.enter_context(in_front_of(folder / "nginx", ports)), database, replicas)


def login(client: httpx2.Client) -> str:
    answer = client.post("/login", json={"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    return token


def test_the_configuration_is_one(tmp_path: Path) -> None:
    if reason := why_no_nginx():
        pytest.skip(reason)
    done = check(render(tmp_path, 8080, [8001, 8002, 8003]))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_session_holds_on_every_replica_and_ends_on_every_replica(farm: Farm) -> None:
    with farm.client() as client:
        token = login(client)
        seen: set[str] = set()
        deadline = time.monotonic() + PATIENCE_S
        while len(seen) < 3 and time.monotonic() < deadline:
            answer = client.get("/users/me")
            assert answer.status_code == 200, answer.text
            seen.add(answer.headers["x-server-id"])
        assert seen == {"replica-1", "replica-2", "replica-3"}
        assert client.post("/logout").status_code == 204
    headers = {"Authorization": f"Bearer {token}"}
    for replica in farm.replicas:
        answer = httpx2.get(f"{replica.url}{API}/users/me", headers=headers, timeout=PATIENCE_S)
        while answer.status_code == 200 and time.monotonic() < deadline + PATIENCE_S:  # the wake-up is on its way
            answer = httpx2.get(f"{replica.url}{API}/users/me", headers=headers, timeout=PATIENCE_S)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")


def test_replicas_see_the_address_of_the_client_and_believe_none_that_it_names(farm: Farm) -> None:
    with farm.client(transport=httpx2.HTTPTransport(local_address=CLIENT_ADDRESS)) as client:
        client.headers["X-Forwarded-For"] = "203.0.113.9"
        login(client)
        events = client.get("/events", params={"type": "auth.logged_in", "limit": 1000}).json()["items"]
        assert events[-1]["data"]["address"] == CLIENT_ADDRESS


@pytest.mark.parametrize("says_site", [True, False], ids=["localhost", "plain http on another name"])
def test_the_pages_of_siglab_at_three_replicas(farm: Farm, says_site: bool) -> None:
    name = f"ana-{says_site}".lower()
    with farm.client() as client:
        login(client)
        body = {"username": name, "email": f"{name}@lab.example", "password": PASSWORD, "role": "technician"}
        assert client.post("/users/", json=body).status_code == 201
    pages = Pages(farm.url)
    pages.http.headers["Connection"] = "close"  # nginx chooses anew for each request
    if not says_site:
        del pages.http.headers["Sec-Fetch-Site"]
    pages.log_in(name, PASSWORD)
    codes = [f"PC-{says_site}-{number}".upper() for number in range(6)]
    servers = set()
    for code in codes:
        pages.add_machine(code)
        answer = pages.fetch("GET", "/api/maquinas/buscar", termino=code)
        assert [row["codigo"] for row in answer.json()] == [code]
        servers.add(answer.headers["X-Server-Id"])
    assert len(servers) > 1, "nginx gave all of it to one replica"
    pages.change_machine(codes[0], estado_actual="Dañado")
    pages.add_record(codes[0])
    assert pages.machines()[codes[0]]["estado"] == "Dañado"
    assert [one["total_mantenimientos"] for one in pages.report(codes[0])] == [1]
    assert codes[1] not in pages.remove_machine(codes[1])
    pages.http.headers["Sec-Fetch-Site" if says_site else "X-Forwarded-Host"] = "same-site" if says_site else "other:1"
    pages.url = "http://other:1"
    assert "otro sitio" in pages.fetch("DELETE", f"/api/maquinas/eliminar/{codes[2]}").json()["detail"]
    pages.close()


async def _flavours(url: str, headers: dict[str, str], names: list[str], other_than: str) -> set[str]:
    """Make flavours, the last of them on another replica than the one named; the replicas that made them."""
    makers: list[str] = []
    async with httpx2.AsyncClient(base_url=url + API, headers=headers | {"Connection": "close"}) as client:
        for name in names:
            body = {"name": name, "vcpus": 1, "memory_mib": 64, "disk_gib": 1}
            answer = await client.post("/flavours/", json=body, timeout=PATIENCE_S)
            assert answer.status_code == 201, answer.text
            makers.append(answer.headers["x-server-id"])
    assert set(makers) - {other_than}, "nginx gave all of it to one replica"
    return set(makers)


@pytest.mark.anyio
async def test_events_of_all_replicas_arrive_at_once_and_in_order(farm: Farm) -> None:
    with farm.client() as client:
        headers = {"Authorization": f"Bearer {login(client)}"}
        since = client.get("/events", params={"since": 0, "limit": 1000}).json()["last_id"]
    names = [f"farm-{number}" for number in range(6)]
    stream_url = f"{farm.url}{API}/events/stream?since={since}"
    socket_url = f"{farm.url}{API}/events/ws?since={since}".replace("http://", "ws://")
    async with (
        asyncio.timeout(PATIENCE_S),
        httpx2.AsyncClient(timeout=None) as reader,
        reader.stream("GET", stream_url, headers=headers) as stream,
        connect(socket_url, additional_headers=headers, open_timeout=PATIENCE_S, ping_interval=None) as socket,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        await _flavours(farm.url, headers, names, stream.headers["x-server-id"])
        received = [json.loads(await socket.recv()) for _ in names]
        streamed = []
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                streamed.append(json.loads(line.removeprefix("data: ")))
            if len(streamed) == len(names):
                break
    assert [event["data"]["name"] for event in received] == names
    assert [event["id"] for event in received] == list(range(since + 1, since + 1 + len(names)))
    assert streamed == received


async def _streams(server: Server, headers: dict[str, str]) -> int:
    """How many streams a replica serves, by its own count."""
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as client:
        text = (await client.get(f"{server.url}/metrics")).text
    found = re.search(r"^parcela_event_stream_clients(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE)
    assert found, text[:500]
    return int(float(found[1]))


async def _read_to_the_end(client: ClientConnection) -> list[dict[str, Any]]:
    events = []
    with suppress(ConnectionClosed):
        while True:
            events.append(json.loads(await client.recv()))
    return events


@pytest.mark.anyio
async def test_one_that_stops_reading_is_closed_and_resumes_while_others_on_both_replicas_go_on(
    farm: Farm,
) -> None:
    one, two = farm.replicas[:2]
    headers = one.admin_headers()
    since = await last_id(one.url, headers)
    database = Database(farm.database)
    uows = UnitOfWorkFactory(database)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.aclose)
        stuck = await stack.enter_async_context(reluctant(one.url, headers, since))
        others = [
            *await stack.enter_async_context(listening(one.url, headers, since, 25)),
            *await stack.enter_async_context(listening(two.url, headers, since, 25)),
        ]
        here = 1 + len(others) // 2
        async with asyncio.timeout(PATIENCE_S):  # until those of the tests before are counted out, and all of these in
            while await _streams(one, headers) != here:  # noqa: ASYNC110 (it is another process)
                await asyncio.sleep(0.05)
        seen: list[list[int]] = [[] for _ in others]
        for _ in range(BULKS):
            # Somebody else writes, as a third process would. The others take all of it before there is more.
            async with uows.write() as uow:
                for _ in range(BULK):
                    uow.add_event("test.noted", data={"text": "x" * BULK_CHARS})
                await uow.commit()
            for events, more in zip(seen, await take_all(others, BULK), strict=True):
                events += [event["id"] for event in more]
        async with asyncio.timeout(PATIENCE_S):
            while await _streams(one, headers) != here - 1:  # noqa: ASYNC110 (it is another process)
                await asyncio.sleep(0.05)
        got = await _read_to_the_end(stuck)
        assert (stuck.close_code, stuck.close_reason) == (4408, f"too slow; resume with since={got[-1]['id']}")
        async with reluctant(one.url, headers, got[-1]["id"]) as again:
            async with asyncio.timeout(PATIENCE_S):
                rest = await take(again, BULK * BULKS - len(got))
    everything = list(range(since + 1, since + 1 + BULK * BULKS))
    assert all(events == everything for events in seen)
    assert 0 < len(got) < len(everything)
    assert [event["id"] for event in (*got, *rest)] == everything


def test_a_replica_that_dies_is_left_out(farm: Farm) -> None:
    """The last test here: the replica stays dead."""
    with farm.client() as client:
        login(client)
        os.kill(farm.replicas[2].pid, signal.SIGKILL)
        answers = [client.get("/users/me") for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-server-id"] for answer in answers} == {"replica-1", "replica-2"}
