"""Settings of connections: how many there may be, and how long one may take for what."""

from pydantic_settings import BaseSettings

from parcela.core.settings_fields import setting as _env


class ConnectionSettings(BaseSettings):
    """A part of ``Settings``."""

    max_connections: int = _env(
        "PARCELA_MAX_CONNECTIONS",
        0,
        "Open TCP connections of this process. 0: 8192, or what the limit of open files (RLIMIT_NOFILE, raised to its "
        "hard limit at the start) leaves after 1/8 of it, at least 64, for everything else.",
        ge=0,
        le=1000000,
    )
    max_connections_per_address: int = _env(
        "PARCELA_MAX_CONNECTIONS_PER_ADDRESS",
        1000,
        "Open connections of one address, never more than a quarter of all; IPv6 counts by /64. Trusted proxies are "
        "exempt. 0: no limit.",
        ge=0,
        le=1000000,
    )
    max_streams: int = _env(
        "PARCELA_MAX_STREAMS",
        0,
        "Open WebSockets (events, consoles) and event streams of this process. 0: three quarters of the connections.",
        ge=0,
        le=1000000,
    )
    max_streams_per_user: int = _env(
        "PARCELA_MAX_STREAMS_PER_USER", 40, "Those of one user, in one process. 0: no limit.", ge=0, le=1000000
    )
    max_streams_per_address: int = _env(
        "PARCELA_MAX_STREAMS_PER_ADDRESS",
        500,
        "Those of one address, in one process; behind a trusted proxy, of the address that it forwards. 0: no limit.",
        ge=0,
        le=1000000,
    )
    header_timeout_s: float = _env(
        "PARCELA_HEADER_TIMEOUT_S",
        15.0,
        "Seconds from the opening of a connection, or the first byte of a later request, to the end of its headers.",
        ge=0.1,
        le=600,
    )
    keep_alive_timeout_s: int = _env(
        "PARCELA_KEEP_ALIVE_TIMEOUT_S",
        30,
        "Seconds that a connection may wait for its next request. A proxy in front has to give up earlier.",
        ge=1,
        le=3600,
    )
    body_timeout_s: float = _env(
        "PARCELA_BODY_TIMEOUT_S",
        20.0,
        "In every such period, in seconds, a body has to end or to bring its minimum (PARCELA_BODY_MIN_BYTES_PER_S).",
        ge=0.1,
        le=600,
    )
    body_min_bytes_per_s: int = _env(
        "PARCELA_BODY_MIN_BYTES_PER_S",
        1024,
        "Slowest body that is taken, in bytes per second; uploads of images too.",
        ge=1,
        le=1048576,
    )
    write_timeout_s: float = _env(
        "PARCELA_WRITE_TIMEOUT_S",
        60.0,
        "In every such period, in seconds, a client has to take all of what waits for it, or 256 bytes per second.",
        ge=0.1,
        le=3600,
    )
    websocket_ping_s: float = _env(
        "PARCELA_WEBSOCKET_PING_S",
        20.0,
        "Seconds between two pings to a WebSocket, and from a ping to its answer.",
        ge=0.1,
        le=600,
    )
    max_unfinished_body_bytes: int = _env(
        "PARCELA_MAX_UNFINISHED_BODY_BYTES",
        67108864,
        "Memory of all request bodies that are being received, in bytes; one user, or all strangers together, get a "
        "quarter of it. Uploads are written to disk and do not count.",
        ge=1048576,
        le=2**40,
    )
