"""Netlink sockets of the driver, and what every interface of ours must be before it comes up.

All functions block for milliseconds and run on the driver's executor. A socket is opened per call: cheap, and no state
is shared between threads.
"""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError

from parcela.hypervisors.errors import DriverError, FatalDriverError, RetryableDriverError

IFF_UP = 0x1
IFF_NOARP = 0x80
_PERMISSION = frozenset({errno.EPERM, errno.EACCES})
_IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")


@contextlib.contextmanager
def netlink(doing: str) -> Iterator[IPRoute]:
    """Give a netlink socket; its errors become driver errors.

    Args:
        doing: completes "could not ..." in the message.
    """
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise _translate(error.code, str(error), doing) from error
    except OSError as error:  # taps are made by an ioctl of /dev/net/tun, which may be missing
        raise _translate(error.errno, str(error), doing) from error


def find_link(ip: IPRoute, name: str) -> int | None:
    """Index of the interface with this name; None when there is none."""
    found = ip.link_lookup(ifname=name)
    return int(found[0]) if found else None


def disable_ipv6(name: str) -> None:
    """Switch IPv6 off on an interface and accept no router advertisement, for the case that somebody switches it on.

    To be called before the interface comes up: otherwise the kernel gives it a link-local address first, and whatever
    a guest sends before the next line is answered.
    """
    # A kernel without IPv6 has no such files, and nothing to disable.
    with contextlib.suppress(FileNotFoundError):
        (_IPV6_SETTINGS / name / "disable_ipv6").write_text("1", encoding="ascii")
        (_IPV6_SETTINGS / name / "accept_ra").write_text("0", encoding="ascii")


def _translate(code: int | None, text: str, doing: str) -> DriverError:
    if code in _PERMISSION:
        return FatalDriverError(f"could not {doing}: the right CAP_NET_ADMIN is missing", internal=text)
    return RetryableDriverError(f"could not {doing}", internal=text)
