"""Point-to-point edges: every frame that one tap receives leaves through the other, by ``tc``.

The redirect sits before the bridge and before the host's stack, so it takes every frame, LACP and pause frames
included, which a bridge never forwards. Both taps stay ports of the segment's bridge all the same: a frame that no
redirect takes ends there and is dropped by our rules, so a missing filter can cost a frame but never give it to the
host. This is also the fall-back of kernels without ``cls_u32`` or ``act_mirred``.
"""

import contextlib
import errno
import fcntl
import logging
import os
import struct
import threading
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError

from parcela.hypervisors.errors import DriverError, RetryableDriverError
from parcela.hypervisors.libvirt.netlink import find_link, netlink

log = logging.getLogger(__name__)

CLSACT_INGRESS = 0xFFFFFFF2
ETH_P_ALL = 3
PRIORITY = 1
ATTEMPTS = 3
MATCH_EVERYTHING = ("0x0/0x0+0",)
# What the kernel answers when a filter, an action or the queueing discipline is not compiled in.
_ABSENT = frozenset({errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL, errno.EPROTONOSUPPORT})
TUN_DEVICE = Path("/dev/net/tun")
TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x1002
TRIAL_NAME = b"pcltry%d"


class Edges:
    """Joins the taps of edges; remembers whether this kernel can."""

    def __init__(self) -> None:
        """Nothing is tried yet."""
        self._lock = threading.Lock()
        self._obstacle: str | None = None

    def obstacle(self) -> str:
        """Why this kernel cannot join taps; "" when it can. Tried once, on an interface that never comes up."""
        if self._obstacle is None:
            try:
                self._obstacle = try_redirect()
            except DriverError as error:  # the question must have an answer, also where no tap can be made at all
                self._obstacle = str(error)
            if self._obstacle:
                log.warning("edges are bridges here, which forward no pause frames: %s", self._obstacle)
        return self._obstacle

    def join(self, ip: IPRoute, bridge: int) -> None:
        """Redirect the two ports of an edge's bridge into each other; fine when only one is there yet.

        Raises:
            RetryableDriverError: the kernel refuses what it accepted at the trial.
        """
        # One after the other: both ends of an edge often start at the same moment, and each puts back both directions.
        with self._lock:
            ports = [int(link["index"]) for link in ip.get_links(master=bridge)]
            if len(ports) != 2 or self.obstacle():
                for port in ports if len(ports) > 2 else ():
                    clear(ip, port)
                return
            for source, target in (ports, reversed(ports)):
                self._redirect(ip, source, target)

    def _redirect(self, ip: IPRoute, source: int, target: int) -> None:
        if redirect_target(ip, source) == target:
            return
        for attempt in range(1, ATTEMPTS + 1):
            try:
                clear(ip, source)
                redirect(ip, source, target)
            except NetlinkError as error:
                # Another process puts the same filter in place at this moment.
                if attempt == ATTEMPTS:
                    raise RetryableDriverError("could not join the two ends of an edge", internal=str(error)) from error
            else:
                return


def redirect(ip: IPRoute, source: int, target: int) -> None:
    """Send every frame that comes in at ``source`` out at ``target`` (interface indexes)."""
    with contextlib.suppress(NetlinkError):  # it is there already; what is really wrong shows in the next call
        ip.tc("add", "clsact", index=source)
    action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": target}
    ip.tc(
        "add-filter",
        "u32",
        index=source,
        parent=CLSACT_INGRESS,
        protocol=ETH_P_ALL,
        prio=PRIORITY,
        target=0,
        keys=list(MATCH_EVERYTHING),
        action=action,
    )


def clear(ip: IPRoute, index: int) -> None:
    """Remove all our filters of an interface; fine when there are none."""
    try:
        ip.tc("del", "clsact", index=index)
    except NetlinkError as error:
        if error.code not in _ABSENT:
            raise


def redirect_target(ip: IPRoute, index: int) -> int | None:
    """Index of the interface that the first redirect of ``index`` leads to; None when there is none."""
    try:
        filters = list(ip.get_filters(index=index, parent=CLSACT_INGRESS))
    except NetlinkError as error:
        if error.code in _ABSENT:
            return None
        raise
    for found in filters:
        # Nested as the kernel sends it; what is absent at any level is no redirect.
        attribute: object = found
        for name in ("TCA_OPTIONS", "TCA_U32_ACT", "TCA_ACT_PRIO_1", "TCA_ACT_OPTIONS", "TCA_MIRRED_PARMS"):
            attribute = None if attribute is None else attribute.get_attr(name)  # type: ignore[attr-defined]
        if attribute is not None:
            return int(attribute["ifindex"])  # type: ignore[index]
    return None


def try_redirect() -> str:
    """Put a redirect on a tap of our own that never comes up; gives why it failed, "" when it did not."""
    with netlink("try a redirect between taps") as ip, TUN_DEVICE.open("r+b", buffering=0) as tun:
        # The kernel chooses a free number, and the tap vanishes with the file: no name to clash, nothing to clean up.
        answer = fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", TRIAL_NAME, IFF_TAP_NO_PI))
        name = os.fsdecode(answer[:16].rstrip(b"\0"))
        index = find_link(ip, name)
        if index is None:
            raise RetryableDriverError("could not try a redirect between taps", internal=f"{name} vanished")
        try:
            redirect(ip, index, index)
        except NetlinkError as error:
            if error.code not in _ABSENT:
                raise
            return f"this kernel has no tc redirect (cls_u32, act_mirred, sch_ingress): {error}"
    return ""
