"""The drivers of this process, by host."""

from collections.abc import Callable

from parcela.hypervisors.driver import Driver, Lifetime, VmEvents
from parcela.hypervisors.errors import UnsupportedError
from parcela.hypervisors.registry import DriverRegistry
from parcela.hypervisors.spec import DriverEvent


class HostDrivers:
    """Opens drivers on first use and hands their events to one listener."""

    def __init__(self, registry: DriverRegistry) -> None:
        """Take the registry the composition root filled."""
        self._registry = registry
        self._open: dict[str, Driver] = {}
        self._listener: Callable[[str, DriverEvent], None] | None = None
        self._unsubscribe: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[str, DriverEvent], None]) -> None:
        """Call ``listener(host_name, event)`` for the events of all drivers opened from now on."""
        self._listener = listener

    def drives(self, provider: str) -> bool:
        """Whether this process can drive hosts of a provider."""
        return provider in self._registry.providers()

    async def get(self, provider: str, host_name: str) -> Driver:
        """The open driver of a host.

        Raises:
            UnsupportedError: this process has no driver for the provider.
        """
        if host_name in self._open:
            return self._open[host_name]
        if not self.drives(provider):
            raise UnsupportedError(f"This process cannot drive hosts of the provider '{provider}'.")
        driver = self._registry.driver(provider, host_name)
        self._open[host_name] = driver
        if isinstance(driver, Lifetime):
            await driver.open()
        if isinstance(driver, VmEvents):
            self._unsubscribe.append(driver.subscribe(lambda event: self._on_event(host_name, event)))
        return driver

    def _on_event(self, host_name: str, event: DriverEvent) -> None:
        if self._listener:
            self._listener(host_name, event)

    async def aclose(self) -> None:
        """Close all drivers; running VMs stay as they are."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        for driver in self._open.values():
            if isinstance(driver, Lifetime):
                await driver.aclose()
        self._open.clear()
