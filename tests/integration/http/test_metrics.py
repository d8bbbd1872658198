"""``/metrics``: who may read it, what is in it, and that it never waits."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.observability.metrics import Metrics, MetricsService
from tests.integration.http.asgi import open_socket
from tests.integration.http.lab import API, Lab, make_settings, open_lab, problem

pytestmark = pytest.mark.anyio
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    """Samples by name and labels, without the server's label."""
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if k not in {"server", "le"})): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("le", "+Inf") == "+Inf"
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


async def scrape(lab: Lab) -> Samples:
    lab.services.observing.scrapes._until = 0.0  # what the database says is kept for seconds
    answer = await lab.http.get("/metrics", headers=lab.people["admin"].headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return parse(answer.text)


async def test_requests_are_counted_by_template(lab: Lab) -> None:
    flavour = await lab.flavour()
    route = {"method": "GET", "route": "/api/v1/flavours/{flavour_id}"}
    before = await scrape(lab)
    await lab.call("GET", f"/flavours/{flavour['id']}")
    await lab.call("GET", "/flavours/999999")
    after = await scrape(lab)
    for status in ("200", "404"):
        name = "parcela_http_requests_total"
        assert value(after, name, **route, status=status) == value(before, name, **route, status=status) + 1
    name = "parcela_http_request_duration_seconds"
    assert value(after, f"{name}_count", **route) == value(before, f"{name}_count", **route) + 2
    assert value(after, f"{name}_bucket", **route) == value(after, f"{name}_count", **route)
    assert value(after, f"{name}_sum", **route) > value(before, f"{name}_sum", **route)


async def test_strangers_cannot_make_up_labels(lab: Lab) -> None:
    await lab.http.get("/no/such/path/at-all")
    await lab.http.request("BREW", "/nor/this")
    text = (await lab.http.get("/metrics", headers=lab.people["admin"].headers)).text
    assert "at-all" not in text
    assert "BREW" not in text
    assert value(parse(text), "parcela_http_requests_total", method="any", route="unmatched", status="404") >= 1


async def test_work_is_counted(lab: Lab) -> None:
    before = await scrape(lab)
    await lab.vm("running")
    held = await lab.operation("held")
    after = await scrape(lab)
    await lab.release(held["id"])
    ended = {"kind": "vm.deploy", "state": "succeeded"}
    name = "parcela_operations_ended_total"
    assert value(after, name, **ended) == value(before, name, **ended) + 1
    assert value(after, "parcela_operations_active", kind="vm.deploy", state="running") == 1
    assert value(after, "parcela_vms", state="running") == value(before, "parcela_vms", state="running") + 1
    steps = [key for key in after if key[0] == "parcela_operation_steps_ended_total"]
    assert steps
    used = [after[key] for key in after if key[0] == "parcela_host_used" and ("resource", "vcpus") in key[1]]
    assert sum(used) >= 1
    assert value(after, "parcela_database_up") == 1


async def test_caches_streams_and_rounds_are_counted(lab: Lab) -> None:
    before = await scrape(lab)
    for _ in range(2):
        assert (await lab.call("GET", "/virtual-machines/")).status_code == 200
    await lab.workers.reconcilers.round()
    async with open_socket(lab.app, f"{API}/events/ws", headers=lab.people["owner"].headers) as socket:
        await lab.flavour()
        await lab.token("owner")
        await socket.message()
        during = await scrape(lab)
    after = await scrape(lab)
    for cache in ("tokens", "lists"):
        name = "parcela_cache_hits_total"
        assert value(after, name, cache=cache) > value(before, name, cache=cache)
    rounds = "parcela_reconciler_rounds_total"
    assert value(after, rounds) == value(before, rounds) + 1
    assert value(during, "parcela_websocket_clients", route=f"{API}/events/ws") == 1
    assert value(during, "parcela_event_stream_clients") == 1
    assert value(after, "parcela_websocket_clients", route=f"{API}/events/ws") == 0
    assert value(during, "parcela_database_pool_connections", state="open") >= 1


@asynccontextmanager
async def from_address(lab: Lab, address: str) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=lab.app, client=(address, 5000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
        yield http


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.9", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.9"}, 401),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.9"}, 401),
        ("127.0.0.1", {"Authorization": "Bearer nonsense"}, 401),
    ],
)
async def test_this_machine_needs_no_token(lab: Lab, address: str, headers: Mapping[str, str], status: int) -> None:
    async with from_address(lab, address) as http:
        assert (await http.get("/metrics", headers=headers)).status_code == status


async def test_clients_may_not_read_it(lab: Lab) -> None:
    answer = await lab.http.get("/metrics", headers=lab.people["owner"].headers)
    problem(answer, 403, "permission_missing")


async def test_networks_of_ones_own(schema: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, schema, PARCELA_METRICS_ALLOWED="192.0.2.0/24")
    async with open_lab(settings) as lab:
        assert (await lab.http.get("/metrics")).status_code == 200
        async with from_address(lab, "127.0.0.1") as http:
            assert (await http.get("/metrics")).status_code == 401


class SilentUows(UnitOfWorkFactory):
    """A database that does not answer."""

    def __init__(self) -> None:
        pass

    def read(self) -> NoReturn:
        raise ParcelaError(ErrorKind.UNAVAILABLE, "database_unavailable", "The database does not answer.")


async def test_a_scrape_without_the_database_is_answered() -> None:
    metrics = Metrics("here")
    metrics.on_request("GET", "/x", 200, 0.004)
    text = (await MetricsService(SilentUows(), metrics).scrape()).decode()
    assert value(parse(text), "parcela_database_up") == 0
    assert value(parse(text), "parcela_http_requests_total", method="GET", route="/x", status="200") == 1
    assert 'server="here"' in text
    assert "parcela_vms{" not in text


async def test_the_database_is_asked_once_for_scrapes_at_once(lab: Lab) -> None:
    now = [100.0]
    service = MetricsService(lab.services.uows, Metrics(), now=lambda: now[0])
    first, second = await asyncio.gather(service.scrape(), service.scrape())
    assert b"parcela_database_up" in first
    assert second
    known = service._known
    await service.scrape()
    assert service._known is known
    now[0] += 6
    await service.scrape()
    assert service._known is not known
    await service.aclose()
