"""Which address of ours a request used: the ``Host`` header is chosen by whoever made the browser ask.

A page of an attacker can resolve its own name to an address of ours (DNS rebinding), and then reads what we answer as
its own. Such a request names the attacker's host. Addresses of ours for redirects, QR codes and single sign-on are
never taken from a host that is not known.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit


def host_of(header: str) -> str:
    """The host of a ``Host`` header in lower case, without port and final dot; "" when the header is malformed."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # malformed ones raise
    except ValueError:
        return ""
    if parts.path or parts.query or parts.fragment or "@" in header or "\\" in header or not header.isprintable():
        return ""
    return (parts.hostname or "").removesuffix(".")


def is_local_host(host: str) -> bool:
    """Whether no stranger can make a name of their own lead here under this host.

    That holds for addresses, which are no names; for ``localhost``; and for names without a dot, such as those of
    containers and of this machine, which nobody can register.
    """
    try:
        ip_address(host)
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(".localhost") or host == socket.gethostname().lower())
    return True


def is_known_host(header: str, public_url: str, allowed: Sequence[str]) -> bool:
    """Whether a ``Host`` header names us: as ``is_local_host``, the host of ``public_url``, or an allowed one."""
    host = host_of(header)
    own = (urlsplit(public_url).hostname or "") if public_url else ""
    return bool(host) and (is_local_host(host) or host == own or host in {one.lower() for one in allowed})


def own_site(base_url: str, public_url: str, listen: tuple[str, int]) -> str:
    """Our address without a final slash: the configured one, else that of the request when its host is local.

    Args:
        base_url: what the request says, e.g. ``http://127.0.0.1:8000/``.
        public_url: as configured; "" when it is not.
        listen: host and port of the server; counts where the host of the request proves nothing.
    """
    if public_url:
        return public_url.rstrip("/")
    parts = urlsplit(base_url)
    if host_of(parts.netloc) and is_local_host(host_of(parts.netloc)):
        return f"{parts.scheme}://{parts.netloc}"
    return listening_site(*listen)


def listening_site(host: str, port: int) -> str:
    """The address of a server by what it listens on."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine only."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
