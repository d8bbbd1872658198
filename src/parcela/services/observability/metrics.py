"""What is measured of this process, as Prometheus reads it.

Counting must cost a request next to nothing, so it is a few additions to plain numbers of the event loop's thread; the
families of ``prometheus_client`` are made when somebody asks. What only the database knows is asked for by one set of
grouped queries, at most every ``KEPT_FOR_S`` seconds, and a scrape never waits longer than ``PATIENCE_S`` for it.
"""

import asyncio
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from parcela.core.errors import ParcelaError
from parcela.repositories.events import EventRecord
from parcela.repositories.statistics import Statistics
from parcela.repositories.uow import UnitOfWorkFactory

log = structlog.get_logger(__name__)
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BUCKET_NAMES = (*(str(bound) for bound in BUCKETS_S), "+Inf")
KEPT_FOR_S = 5.0
PATIENCE_S = 2.0
ENDINGS = frozenset({"succeeded", "failed", "cancelled", "stuck"})
STEP_ENDINGS = frozenset({"done", "failed", "skipped", "undone", "undo_failed"})
Labels = tuple[str, ...]
Values = Mapping[Any, float]
"""Numbers by tuples of labels, of whatever length the family has."""
Read = Callable[[], Values]


@dataclass(frozen=True, slots=True)
class Source:
    """Numbers that another object keeps."""

    name: str
    help: str
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    labels: Labels
    read: Read


class Metrics(Collector):
    """The numbers of one process; all methods are for the event loop's thread."""

    def __init__(self, server_id: str = "", now: Callable[[], float] = time.time) -> None:
        """``server_id`` labels everything, so that replicas can be told apart; ``now`` is in seconds since 1970."""
        self._server_id = server_id
        self._started_at = now()
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._latencies: dict[tuple[str, str], list[float]] = {}
        self._operations: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._steps: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._sockets: defaultdict[str, int] = defaultdict(int)
        self._rounds = 0
        self._round_s = 0.0
        self._repairs: defaultdict[str, int] = defaultdict(int)
        self._sources: list[Source] = []
        self._caches: dict[str, Callable[[], tuple[int, int]]] = {}
        self._statistics: Statistics | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    # ---- counting

    def on_request(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count one answered request. ``route`` is the template, never the path."""
        self._requests[method, route, status] += 1
        row = self._latencies.get((method, route))
        if row is None:
            row = self._latencies[method, route] = [0.0] * (len(BUCKET_NAMES) + 1)
        row[bisect_left(BUCKETS_S, took_s)] += 1
        row[-1] += took_s

    def on_socket(self, route: str, change: int) -> None:
        """A WebSocket was opened (+1) or closed (-1)."""
        self._sockets[route] += change

    def on_events(self, records: Sequence[EventRecord]) -> None:
        """Count what operations and their steps came to."""
        for record in records:
            noun, _, word = record.type.partition(".")
            if noun != "operation":
                continue
            if word in ENDINGS:
                self._operations[str(record.data.get("kind", "")), word] += 1
            elif word == "step" and record.data.get("state") in STEP_ENDINGS:
                kind = str(record.data.get("step", "")).partition(":")[0]
                self._steps[kind, str(record.data["state"])] += 1

    def on_round(self, took_s: float, repairs: Mapping[str, int]) -> None:
        """The reconcilers have had a look at everything."""
        self._rounds += 1
        self._round_s += took_s
        for name, count in repairs.items():
            self._repairs[name] += count

    def add_cache(self, name: str, counts: Callable[[], tuple[int, int]]) -> None:
        """Show the (hits, misses) of a cache."""
        self._caches[name] = counts

    def count(self, name: str, help_text: str, labels: Labels, read: Read) -> None:
        """Show numbers that only grow and that another object keeps; ``name`` is without ``_total``."""
        self._sources.append(Source(name, help_text, CounterMetricFamily, labels, read))

    def gauge(self, name: str, help_text: str, labels: Labels, read: Read) -> None:
        """Show numbers that go up and down and that another object keeps."""
        self._sources.append(Source(name, help_text, GaugeMetricFamily, labels, read))

    # ---- showing

    def render(self, statistics: Statistics | None) -> bytes:
        """Everything as Prometheus text; without ``statistics`` the database did not answer."""
        self._statistics = statistics
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Families; called by the registry."""
        yield self._gauge("parcela_process_start_time_seconds", "Start of this process", {(): self._started_at})
        yield from self._http()
        yield from self._work()
        counts = {name: count() for name, count in self._caches.items()}
        hits, misses = ({(name,): float(pair[index]) for name, pair in counts.items()} for index in (0, 1))
        yield self._counter("parcela_cache_hits", "Answers that a cache had", hits, "cache")
        yield self._counter("parcela_cache_misses", "Answers that a cache had not", misses, "cache")
        for source in self._sources:
            family = source.kind(source.name, source.help, labels=("server", *source.labels))
            for labels, value in source.read().items():
                family.add_metric((self._server_id, *labels), value)
            yield family
        yield self._gauge("parcela_database_up", "1 when the database answered", {(): float(bool(self._statistics))})
        if self._statistics is not None:
            yield from self._stored(self._statistics)

    def _http(self) -> Iterator[Metric]:
        requests = {(method, route, str(status)): n for (method, route, status), n in self._requests.items()}
        yield self._counter("parcela_http_requests", "Answered requests", requests, "method", "route", "status")
        family = HistogramMetricFamily(
            "parcela_http_request_duration_seconds",
            "Time until the last byte of an answer was handed over",
            labels=("server", "method", "route"),
        )
        for (method, route), row in self._latencies.items():
            total, buckets = 0.0, []
            for name, value in zip(BUCKET_NAMES, row[:-1], strict=True):
                total += value
                buckets.append((name, total))
            family.add_metric((self._server_id, method, route), buckets, sum_value=row[-1])
        yield family
        sockets = {(route,): float(number) for route, number in self._sockets.items()}
        yield self._gauge("parcela_websocket_clients", "Open WebSockets", sockets, "route")

    def _work(self) -> Iterator[Metric]:
        ended, steps = "Operations that ended here", "Steps that ended here"
        yield self._counter("parcela_operations_ended", ended, self._operations, "kind", "state")
        yield self._counter("parcela_operation_steps_ended", steps, self._steps, "kind", "state")
        yield self._counter("parcela_reconciler_rounds", "Rounds of the reconcilers", {(): self._rounds})
        seconds = "Time spent in rounds of the reconcilers"
        yield self._counter("parcela_reconciler_round_seconds", seconds, {(): self._round_s})
        repairs = {(name,): float(number) for name, number in self._repairs.items()}
        yield self._counter("parcela_reconciler_repairs", "Things repaired", repairs, "reconciler")

    def _stored(self, found: Statistics) -> Iterator[Metric]:
        active = "Operations under way, of the whole installation"
        yield self._gauge("parcela_operations_active", active, found.operations, "kind", "state")
        yield self._gauge("parcela_queue_depth", "Pieces of work that nobody has taken up yet", found.queued, "queue")
        yield self._gauge("parcela_vms", "VMs of the whole installation", found.vms, "state")
        host, resource = "host", "resource"
        limit = "What may be given away on a host, overcommit included: vCPUs, MiB, GiB"
        yield self._gauge("parcela_host_capacity", limit, found.host_capacity, host, resource)
        yield self._gauge("parcela_host_used", "What is given away on a host", found.host_used, host, resource)
        free = "Free bytes of the file system with a host's VM disks"
        yield self._gauge("parcela_host_disk_free_bytes", free, found.host_disk_free, host)
        low = "1 when a host takes no new VM because its disk is short of space"
        yield self._gauge("parcela_host_disk_low", low, found.host_disk_low, host)
        yield self._gauge("parcela_host_up", "1 when a host is up and reachable", found.host_up, host)

    def _gauge(self, name: str, help_text: str, values: Values, *labels: str) -> Metric:
        return self._filled(GaugeMetricFamily(name, help_text, labels=("server", *labels)), values)

    def _counter(self, name: str, help_text: str, values: Values, *labels: str) -> Metric:
        return self._filled(CounterMetricFamily(name, help_text, labels=("server", *labels)), values)

    def _filled(
        self, family: GaugeMetricFamily | CounterMetricFamily, values: Values
    ) -> GaugeMetricFamily | CounterMetricFamily:
        for labels, value in values.items():
            family.add_metric((self._server_id, *labels), value)
        return family


class MetricsService:
    """Answers scrapes: asks the database now and then, and never waits for it long."""

    def __init__(self, uows: UnitOfWorkFactory, metrics: Metrics, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` counts seconds."""
        self._uows = uows
        self._metrics = metrics
        self._now = now
        self._known: Statistics | None = None
        self._until = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def scrape(self) -> bytes:
        """All metrics as Prometheus text."""
        if self._now() >= self._until:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
                self._asking.add_done_callback(self._asked)
            # Not cancelled when it takes longer: a read that is cut off would lose its connection. It serves the next.
            await asyncio.wait({self._asking}, timeout=PATIENCE_S)
        return self._metrics.render(self._known if self._now() < self._until else None)

    async def _ask(self) -> None:
        try:
            async with self._uows.read() as uow:
                self._known = await uow.statistics.read()
            self._until = self._now() + KEPT_FOR_S
        except ParcelaError as exc:
            log.warning("metrics.database_silent", reason=exc.message)
        except Exception as exc:  # noqa: BLE001 (whatever a store says, a scrape is answered)
            log.warning("metrics.database_failed", reason=str(exc))

    def _asked(self, _task: "asyncio.Task[None]") -> None:
        self._asking = None

    async def aclose(self) -> None:
        """Let a question come to its end. Call it before the database is closed."""
        if self._asking is not None:
            await asyncio.wait({self._asking})
