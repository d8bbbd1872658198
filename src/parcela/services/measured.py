"""Shows what the objects of a process count among its metrics."""

from parcela.services.container import Services


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
    metrics.add_cache("tokens", services.auth.cache_counts)
    metrics.gauge(
        "parcela_database_pool_connections",
        "Connections to the database: in use, and open in all",
        ("state",),
        lambda: {(state,): number for state, number in database.pool_counts().items()},
    )
