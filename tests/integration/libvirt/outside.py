"""A small Internet for the lab: a neighbour on a network of the host, and machines behind it."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.integration.libvirt.harness import output_of

NAMESPACE, UPLINK = "pcl-outside", "pcluplink2"
HOST, NEIGHBOUR, MIRROR = "198.51.100.1", "198.51.100.2", "198.51.100.3"
"""The host on its own network, another machine there, and one that an administrator allows."""
FAR, FORBIDDEN, METADATA = "203.0.113.1", "203.0.113.129", "169.254.169.254"
"""Machines behind a gateway; the second one is one that an administrator blocks."""
UPSTREAM_NAME, UPSTREAM_ADDRESS = "www.upstream.example", "203.0.113.7"
SECRET_NAME = "printer.staff.example"
HOSTS = f"127.0.0.1 localhost\n{NEIGHBOUR} {SECRET_NAME} staffprinter\n"
HTTP_PORT = 8080


def _ip(*lines: str) -> None:
    for line in lines:
        output_of("ip", *line.split())


@contextlib.contextmanager
def outside(folder: Path) -> Iterator[None]:
    """Make it; the host resolves names there, and has names of its own in ``/etc/hosts``."""
    with contextlib.ExitStack() as stack:
        for name, text in (("hosts", HOSTS), ("resolv.conf", f"nameserver {FAR}\n")):
            (folder / name).write_text(text, encoding="ascii")
            (folder / name).chmod(0o644)
            output_of("mount", "--bind", str(folder / name), f"/etc/{name}")
            stack.callback(output_of, "umount", f"/etc/{name}")
        _ip(f"netns add {NAMESPACE}")
        stack.callback(_ip, f"netns del {NAMESPACE}")
        inside = f"-n {NAMESPACE}"
        _ip(
            f"link add {UPLINK} type veth peer name uplink netns {NAMESPACE}",
            f"addr add {HOST}/24 dev {UPLINK}",
            f"link set {UPLINK} up",
            f"{inside} link set lo up",
            f"{inside} link set uplink up",
            *(f"{inside} addr add {address}/24 dev uplink" for address in (NEIGHBOUR, MIRROR)),
            *(f"{inside} addr add {address}/32 dev lo" for address in (FAR, FORBIDDEN, METADATA)),
            f"{inside} route add default via {HOST}",
            f"route add 203.0.113.0/24 via {NEIGHBOUR}",
            f"route add 169.254.0.0/16 via {NEIGHBOUR}",
        )
        resolver = "dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --bind-interfaces"
        resolver += f" --user=root --pid-file --listen-address={FAR} --address=/{UPSTREAM_NAME}/{UPSTREAM_ADDRESS}"
        web = f"{sys.executable} -m http.server {HTTP_PORT} --bind {FAR} --directory /run/netns"
        for command in (resolver, web):
            program = subprocess.Popen(
                ["ip", "netns", "exec", NAMESPACE, *command.split()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(program.wait)
            stack.callback(program.kill)
        yield
