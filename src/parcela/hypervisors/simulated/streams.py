"""Console streams of simulated VMs."""

from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.simulated.guest import Guest
from parcela.hypervisors.simulated.host import SimHost
from parcela.hypervisors.simulated.machine import SimVm
from parcela.hypervisors.simulated.rfb import RfbServer
from parcela.hypervisors.spec import PowerState

READ_BYTES = 65536


class MemoryStream:
    """A console stream: a buffer towards the reader that ends with the run of the guest it was opened on."""

    def __init__(self, host: SimHost, vm: SimVm) -> None:
        """Open on the current run. FatalDriverError when the VM is off."""
        if vm.guest is None:
            raise FatalDriverError(f"the console of VM {vm.spec.name} cannot be opened: it is switched off")
        self._host = host
        self._vm = vm
        self._guest: Guest = vm.guest
        self._buffer = bytearray()
        self._closed = False

    @property
    def ended(self) -> bool:
        """Closed, taken over, switched off, or the host is gone."""
        return self._closed or self._vm.guest is not self._guest or not self._host.reachable

    async def read(self) -> bytes:
        """See ConsoleStream. What was printed before the end is still given out."""
        while True:
            seen = self._vm.changed.version
            due_s = self._host.advance(self._vm)
            if self._buffer:
                chunk = bytes(self._buffer[:READ_BYTES])
                del self._buffer[: len(chunk)]
                return chunk
            if self.ended:
                return b""
            await self._vm.changed.wait(seen, due_s)

    async def aclose(self) -> None:
        """See ConsoleStream."""
        self.end()

    def end(self) -> None:
        """End it from outside: another opening took over."""
        self._closed = True
        self._vm.changed.notify()

    async def taken(self) -> None:
        """Wait until the processors run: a paused guest takes nothing. ConnectionError when the stream has ended."""
        while True:
            seen = self._vm.changed.version
            self._host.advance(self._vm)
            if self.ended:
                raise ConnectionError(f"the console of VM {self._vm.spec.name} has ended")
            if self._vm.power is PowerState.RUNNING:
                return
            await self._vm.changed.wait(seen)


class SerialStream(MemoryStream):
    """The serial line, history first: any number at a time, of which the newest types."""

    def __init__(self, host: SimHost, vm: SimVm) -> None:
        host.advance(vm)
        super().__init__(host, vm)
        vm.serial = self
        self._buffer += self._guest.history
        self._guest.sinks.append(self._buffer.extend)

    @property
    def has_keyboard(self) -> bool:
        """See SerialStream of the driver."""
        return self._vm.serial is self

    async def take_keyboard(self, *, force: bool) -> bool:
        """See SerialStream of the driver."""
        if not self.ended and (force or self._vm.serial is None):
            self._vm.serial = self
        return self.has_keyboard

    async def write(self, data: bytes) -> None:
        """See ConsoleStream."""
        await self.taken()
        if not self.has_keyboard:
            return
        self._guest.type(data)
        self._host.advance(self._vm)

    def end(self) -> None:
        """End it and leave the line."""
        if self._vm.serial is self:
            self._vm.serial = None
        if self._buffer.extend in self._guest.sinks:
            self._guest.sinks.remove(self._buffer.extend)
        super().end()


class VncStream(MemoryStream):
    """The graphical console; any number at a time."""

    def __init__(self, host: SimHost, vm: SimVm) -> None:
        host.advance(vm)
        super().__init__(host, vm)
        self._server = RfbServer(vm.spec.name, vm.spec.uuid.bytes[:3])
        self._buffer += self._server.greeting

    async def write(self, data: bytes) -> None:
        """See ConsoleStream. The screen is the hypervisor's and answers while the guest is paused, too."""
        if self.ended:
            raise ConnectionError(f"the console of VM {self._vm.spec.name} has ended")
        self._buffer += self._server.feed(data)
        if self._server.broken:
            self.end()
        self._vm.changed.notify()
