"""Addresses of the cards on the NAT network: one for each, reserved before its VM starts.

There is no range from which a guest could take more: dnsmasq knows the cards by their MACs, from a file of ours in the
form of its ``dhcp-hostsfile``. The file is the memory. It lies beside libvirt's own files of the network, where
dnsmasq's user and confinement may read it. libvirt's own reservations are not used: with each of them libvirt takes its
NAT rules away and sets them again (0.3 s per card were seen, and a moment without rules).
"""

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path

from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.libvirt.layout import write_atomically

LIBVIRT_FOLDER = Path("/var/lib/libvirt/dnsmasq")
# dnsmasq runs as a user of its own. MACs and addresses of guests are no secret on their host.
FILE_MODE = 0o644
FOLDER_MODE = 0o755
LEASE_TIME = "10m"
"""Short: an address whose VM was removed is given to no other before its lease ends."""


@dataclass(frozen=True, slots=True)
class Reservations:
    """The file of one NAT network.

    Attributes:
        path: of the file; a lock file lies beside it, because several processes may drive one host.
    """

    path: Path

    def read(self) -> dict[str, IPv4Address]:
        """MAC -> address; none when there is no file. Lines that are not ours are left out."""
        found: dict[str, IPv4Address] = {}
        with suppress(FileNotFoundError):
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                parts = line.split(",")
                with suppress(AddressValueError):
                    if len(parts) == 3:
                        found[parts[0].lower()] = IPv4Address(parts[2])
        return found

    def reserve(
        self,
        subnet: IPv4Network,
        wanted: Collection[str],
        living: Collection[str],
        leases: Mapping[str, str],
    ) -> tuple[dict[str, IPv4Address], bool]:
        """Give each wanted card an address, and forget the cards of VMs that are gone. Blocks for milliseconds.

        Args:
            subnet: of the network; its first address is the host's.
            wanted: MACs, lower-case.
            living: MACs of all cards that may keep what they have; those of ``wanted`` need not be among them.
            leases: MAC -> address that DHCP has given away and that is still valid. A card keeps its own; those of
                others are not given to anybody else.

        Returns:
            MAC -> address, without the cards for which the subnet has no address left; and whether the file changed, so
            that dnsmasq must be told.
        """
        with self._locked():
            before = self.read()
            keep = set(wanted) | set(living)
            table = {mac: ip for mac, ip in before.items() if mac in keep and _is_guests(ip, subnet)}
            for mac in sorted(set(wanted) - set(table)):
                address = _choose(subnet, mac, table, leases)
                if address is not None:
                    table[mac] = address
            changed = table != before or not self.path.exists()
            if changed:
                self._write(table)
            return table, changed

    def remove(self) -> None:
        """Forget everything, with the network."""
        self.path.unlink(missing_ok=True)
        self._lock_path.unlink(missing_ok=True)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.parent.chmod(FOLDER_MODE)
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, table: Mapping[str, IPv4Address]) -> None:
        # "id:*": the card is known by its MAC whatever client id its guest sends, or each id would be another client.
        lines = [f"{mac},id:*,{ip}\n" for mac, ip in sorted(table.items(), key=lambda entry: entry[1])]
        write_atomically(self.path, "".join(lines).encode(), mode=FILE_MODE)


def reservations_of(network_name: str, state_dir: Path) -> Reservations:
    """The file of a network."""
    # libvirtd makes its folder with its first network, so only the folder above tells where the file will always be.
    folder = LIBVIRT_FOLDER if LIBVIRT_FOLDER.parent.is_dir() else state_dir
    return Reservations(folder / f"{network_name}.parcela-hosts")


def try_lock(file: int) -> bool:
    """Take the kernel's lock of an open file without waiting; it ends with the file. Whether it was free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_guests(address: IPv4Address, subnet: IPv4Network) -> bool:
    return address in subnet and address not in (subnet[0], subnet[1], subnet[-1])


def _choose(
    subnet: IPv4Network, mac: str, table: Mapping[str, IPv4Address], leases: Mapping[str, str]
) -> IPv4Address | None:
    taken = set(table.values())
    own = leases.get(mac)
    if own is not None and IPv4Address(own) not in taken and _is_guests(IPv4Address(own), subnet):
        return IPv4Address(own)
    taken |= {IPv4Address(address) for other, address in leases.items() if other != mac}
    for number in range(int(subnet[2]), int(subnet[-1])):
        if IPv4Address(number) not in taken:
            return IPv4Address(number)
    return None


def full(subnet: IPv4Network) -> FatalDriverError:
    """What to say when a card gets no address."""
    return FatalDriverError(
        f"the NAT network {subnet} of this host has no free address: {subnet.num_addresses - 3} VMs with public access "
        f"have them all. Remove some (their addresses are free {LEASE_TIME[:-1]} minutes later), or use another host"
    )
