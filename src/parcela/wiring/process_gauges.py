"""Shows what the objects of a process count among its metrics."""

from parcela.services.container import Services
from parcela.services.observability.metrics import Metrics
from parcela.services.traffic.traffic import Traffic


def watch_process(services: Services) -> None:
    """Show streams, the token cache and the database's connections."""
    metrics, hub, database = services.observing.metrics, services.hub, services.uows.database
    metrics.gauge(
        "parcela_event_stream_clients",
        "Readers of the event stream in this process, WebSocket and server-sent events together",
        (),
        lambda: {(): hub.clients},
    )
    folder = services.data_folder
    free, size = "Free bytes of a folder that the server writes to", "Size in bytes of its file system"
    metrics.gauge("parcela_server_disk_free_bytes", free, ("folder",), folder.free_bytes)
    metrics.gauge("parcela_server_disk_size_bytes", size, ("folder",), folder.size_bytes)
    _watch_traffic(metrics, services.traffic)
    metrics.add_cache("tokens", services.auth.cache_counts)
    metrics.gauge(
        "parcela_database_pool_connections",
        "Connections to the database: in use, and open in all",
        ("state",),
        lambda: {(state,): number for state, number in database.pool_counts().items()},
    )


def _watch_traffic(metrics: Metrics, traffic: Traffic) -> None:
    connections, streams, bodies = traffic.connections, traffic.streams, traffic.bodies
    metrics.gauge("parcela_connections", "Open TCP connections of clients", (), lambda: {(): connections.open})
    metrics.gauge("parcela_connections_limit", "How many there may be", (), lambda: {(): connections.limits.total})
    metrics.count(
        "parcela_connections_refused",
        "Connections that were not let in, by the ceiling that was reached: address, total",
        ("reason",),
        lambda: {(reason,): number for reason, number in connections.refused.items()},
    )
    metrics.count(
        "parcela_connections_closed",
        "Connections that were closed because they were too slow (header, body, drain, write, keep_alive), or for "
        "another one (evicted)",
        ("reason",),
        lambda: {(reason,): number for reason, number in connections.closed.items()},
    )
    metrics.gauge("parcela_streams", "Open WebSockets and event streams", (), lambda: {(): streams.open})
    metrics.count(
        "parcela_streams_refused",
        "Those that were refused, by the ceiling that was reached: user, address, total",
        ("reason",),
        lambda: {(reason,): number for reason, number in streams.refused.items()},
    )
    metrics.gauge(
        "parcela_unfinished_body_bytes",
        "Memory of request bodies that are being received",
        (),
        lambda: {(): bodies.held_bytes},
    )
    metrics.count(
        "parcela_bodies_refused",
        "Bodies for which there was no memory, by whose share it was: user, strangers, total",
        ("share",),
        lambda: {(share,): number for share, number in bodies.refused.items()},
    )
