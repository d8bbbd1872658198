"""``parcela serve`` with a driver that kills the process, as ``kill -9`` does, at a chosen call.

``KILL_AT=create_vm:2:before`` dies before the second call of ``create_vm``; ``after`` dies when the call is done and
its result is not written yet. This is a composition root of the tests: the product knows nothing of it.
"""

import os
import signal
from typing import Any

import uvicorn

from parcela.core.settings import Settings, load_settings
from parcela.db import migrate
from parcela.hypervisors.driver import Driver
from parcela.hypervisors.registry import DriverRegistry
from parcela.main import create_app
from parcela.wiring.drivers import default_registry


class Killing:
    """A driver that counts the calls of one method and dies at one of them."""

    def __init__(self, driver: Driver, method: str, nth: int, moment: str) -> None:
        self._driver = driver
        self._method = method
        self._left = nth
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._driver, name)
        if name != self._method:
            return call

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            fatal = self._left == 0
            if fatal and self._moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = await call(*args, **kwargs)
            if fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted


def registry(settings: Settings, installation: str) -> DriverRegistry:
    method, nth, moment = os.environ["KILL_AT"].split(":")
    inner = default_registry(settings, installation)

    def factory(name: str) -> Driver:
        killing: Any = Killing(inner.driver("libvirt", name), method, int(nth), moment)
        return killing  # type: ignore[no-any-return]

    return DriverRegistry({"libvirt": factory})


def main() -> None:
    settings = load_settings()
    migrate.upgrade(settings.resolved_database_url)
    uvicorn.run(create_app(settings, registry), host="127.0.0.1", port=settings.listen_port, log_config=None)


if __name__ == "__main__":
    main()
