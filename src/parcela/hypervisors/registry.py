"""Provider name -> driver factory; used by composition roots only."""

from collections.abc import Callable, Mapping

from parcela.hypervisors.driver import Driver

DriverFactory = Callable[[str], Driver]
"""Takes the host's name, gives its driver (not yet opened)."""


class DriverRegistry:
    """The drivers of the hosts of this process, one object per host, made on first use."""

    def __init__(self, factories: Mapping[str, DriverFactory]) -> None:
        """Take the factories per provider (``libvirt``, ``simulated``)."""
        self._factories = dict(factories)
        self._drivers: dict[str, Driver] = {}

    def providers(self) -> frozenset[str]:
        """Names of the providers this process can drive."""
        return frozenset(self._factories)

    def driver(self, provider: str, host_name: str) -> Driver:
        """Driver of a host.

        Raises:
            KeyError: this process has no factory for the provider.
        """
        if host_name not in self._drivers:
            self._drivers[host_name] = self._factories[provider](host_name)
        return self._drivers[host_name]

    def forget(self, host_name: str) -> Driver | None:
        """Drop the driver of a removed host and return it, so that the caller can close it."""
        return self._drivers.pop(host_name, None)

    def opened(self) -> Mapping[str, Driver]:
        """The drivers made so far, by host name."""
        return dict(self._drivers)
