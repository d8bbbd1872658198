"""The DHCP and DNS server that libvirt runs for a network."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from parcela.hypervisors.errors import RetryableDriverError

PROC = Path("/proc")
RUN_FOLDER = Path("/run/libvirt/network")


def find_dnsmasq(network: str) -> int | None:
    """Process id of the server of a network; None when there is none."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((RUN_FOLDER / f"{network}.pid").read_text(encoding="ascii"))
        if _serves(pid, network):  # the file outlives a killed server, and the number may be another program's by now
            return pid
    # The file is gone, or elsewhere on this system.
    return next(_search(network), None)


def _search(network: str) -> Iterator[int]:
    for pid in [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]:
        # The server runs scripts by a child with the same command line, which a SIGHUP would end.
        if _serves(pid, network) and not _serves(_parent(pid), network):
            yield pid


def _serves(pid: int, network: str) -> bool:
    with contextlib.suppress(OSError):
        program, *arguments = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        return program.endswith(b"dnsmasq") and any(word.endswith(f"/{network}.conf".encode()) for word in arguments)
    return False


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The second field is the name, which may hold anything.
        text = (PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
        return int(text.rpartition(")")[2].split()[1])
    return 0


def tell_dnsmasq(network: str) -> None:
    """Have the server of a running network read its reservations again.

    Raises:
        RetryableDriverError: it does not run.
    """
    pid = find_dnsmasq(network)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
            return
    raise RetryableDriverError(f"the DHCP server of the network {network} does not run; it is started within a minute")
