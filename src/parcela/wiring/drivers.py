"""The drivers of a process."""

from collections.abc import Callable

from parcela.core.settings import Hypervisor, Settings
from parcela.hypervisors.registry import DriverFactory, DriverRegistry
from parcela.hypervisors.simulated import SimulatedDriver, SimulatedWorld

RegistryFactory = Callable[[Settings, str], DriverRegistry]
"""(settings, installation id) -> drivers; tests give one whose drivers they can break."""


def _bundled_kernel(settings: Settings) -> tuple[str, str] | None:
    kernel, initrd = settings.guest_dir / "vmlinuz", settings.guest_dir / "initrd.gz"
    return (str(kernel.resolve()), str(initrd.resolve())) if kernel.exists() and initrd.exists() else None


def default_registry(settings: Settings, installation: str) -> DriverRegistry:
    """The drivers of this process: libvirt when it is what the settings say, simulated only when they say so."""
    factories: dict[str, DriverFactory] = {}
    if settings.hypervisor is Hypervisor.SIMULATED:
        world = SimulatedWorld()
        factories["simulated"] = lambda name: SimulatedDriver(world, name, installation)
    else:
        # An optional dependency: an API on a machine without libvirt-python can still serve simulated hosts.
        from parcela.hypervisors.libvirt.driver import LibvirtDriver

        factories["libvirt"] = lambda name: LibvirtDriver(
            name,
            installation,
            settings.resolved_libvirt_uri,
            settings.data_dir / "hypervisor",
            acceleration=settings.acceleration.value,
            probe_kernel=_bundled_kernel(settings),
            nat_prefixes=settings.nat_prefixes,
            nat_blocked=settings.nat_blocked,
            nat_allowed=settings.nat_allowed,
        )
    return DriverRegistry(factories)
