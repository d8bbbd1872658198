"""The hosts of the simulated world and the books about them."""

from collections import Counter, deque
from uuid import UUID

from parcela.hypervisors.simulated.faults import Faults, Target
from parcela.hypervisors.simulated.host import SimHost
from parcela.hypervisors.simulated.machine import Effect, HostSize, Ledger, SimVm, Usage
from parcela.hypervisors.simulated.network import Network
from parcela.hypervisors.simulated.timing import Delays, Timing
from parcela.hypervisors.spec import (
    Capability,
)


class Hosts:
    """Hosts by name, switches, and the ledger of what happened.

    Attributes:
        faults: the board of switches that act on calls.
        timing: delays and speed; may be changed at any time.
    """

    def __init__(
        self, *, delays: Delays | None = None, speed: float = 1.0, default_host: HostSize | None = None
    ) -> None:
        """Make a world without hosts.

        Args:
            delays: seconds per kind of call; small realistic ones by default.
            speed: delays are divided by it, > 0.
            default_host: size of hosts that were not added before their first driver was made.
        """
        self.faults = Faults()
        self.timing = Timing(delays if delays is not None else Delays(), speed)
        self._default_host = default_host or HostSize()
        self._ledger = Ledger()
        self._hosts: dict[str, SimHost] = {}

    # ---- hosts

    def add_host(
        self,
        name: str,
        *,
        vcpus: int = 16,
        memory_mib: int = 65536,
        disk_gib: int = 1000,
        capabilities: frozenset[Capability] = frozenset(Capability),
    ) -> SimHost:
        """Add a host, or change the size of one that is there (its VMs stay)."""
        size = HostSize(vcpus, memory_mib, disk_gib, capabilities)
        if name in self._hosts:
            self._hosts[name].size = size
        else:
            self._hosts[name] = self._make_host(name, size)
        return self._hosts[name]

    def host(self, name: str) -> SimHost:
        """The host of this name, made with the default size when there is none yet."""
        if name not in self._hosts:
            self._hosts[name] = self._make_host(name, self._default_host)
        return self._hosts[name]

    @property
    def hosts(self) -> tuple[SimHost, ...]:
        """All hosts."""
        return tuple(self._hosts.values())

    def _make_host(self, name: str, size: HostSize) -> SimHost:
        host = SimHost(name, size, timing=self.timing, ledger=self._ledger, faults=self.faults)
        host.ping = self._ping
        return host

    # ---- what happened

    @property
    def calls(self) -> deque[Target]:
        """Driver calls so far, in the order of their beginning; the last 200,000."""
        return self._ledger.calls

    @property
    def effects(self) -> Counter[tuple[Effect, UUID | str]]:
        """How often each side effect happened to each object, over all hosts."""
        return self._ledger.effects

    def count(self, effect: Effect, key: UUID | str) -> int:
        """How often one side effect happened to one object."""
        return self._ledger.effects[effect, key]

    def peak(self, host: str) -> Usage:
        """The most that was ever defined on a host at the same instant, each resource by itself."""
        return self.host(host).peak

    def where(self, uuid: UUID) -> tuple[str, ...]:
        """Names of the hosts that have a VM, or what is left of it."""
        return tuple(host.name for host in self.hosts if uuid in host.vms)

    def vm(self, uuid: UUID) -> SimVm | None:
        """The VM (on the first host that has it), with everything done that was due."""
        for host in self.hosts:
            if uuid in host.vms:
                vm = host.vms[uuid]
                host.advance(vm)
                return vm
        return None

    def plugged(self, installation: str, segment: UUID) -> tuple[SimVm, ...]:
        """Defined VMs with a NIC in the segment, on all hosts."""
        return self._ledger.cables.of(installation, segment)

    def ping(self, uuid: UUID, address: str) -> bool:
        """Whether a ping from inside the VM to an IPv4 address comes back."""
        vm = self.vm(uuid)
        return vm is not None and self._ping(vm, address)

    def _ping(self, vm: SimVm, address: str) -> bool:
        return Network(self._hosts, self._ledger.cables).answers(vm, address)

    def _find(self, uuid: UUID) -> tuple[SimHost, SimVm]:
        for host in self.hosts:
            if uuid in host.vms:
                return host, host.vms[uuid]
        raise KeyError(uuid)
