"""The driver's consoles."""

import asyncio
import contextlib
import os
import socket
from uuid import UUID

import libvirt

from parcela.hypervisors.driver import ConsoleStream, SerialStream
from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.libvirt.context import HostContext, require_domain
from parcela.hypervisors.libvirt.serial import SerialConsole

READ_BYTES = 64 * 1024


class SocketConsole:
    """A ``ConsoleStream`` over a connected socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the two halves."""
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """See ``ConsoleStream.read``."""
        try:
            return await self._reader.read(READ_BYTES)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        """See ``ConsoleStream.write``."""
        if self._writer.is_closing() or self._reader.at_eof():
            raise ConnectionError("the console has ended")
        self._writer.write(data)
        await self._writer.drain()

    async def aclose(self) -> None:
        """See ``ConsoleStream.aclose``."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class ConsoleActions:
    """The console methods of the driver."""

    _host: HostContext

    async def open_serial(self, uuid: UUID) -> SerialStream:
        """See ``SerialConsoles.open_serial``."""
        console = SerialConsole(self._host, uuid)
        await console.open()
        return console

    async def open_vnc(self, uuid: UUID) -> ConsoleStream:
        """See ``VncConsoles.open_vnc``."""
        host = self._host

        def work(connection: libvirt.virConnect) -> int:
            domain = require_domain(connection, host.installation, uuid)
            if not domain.isActive():
                raise FatalDriverError(f"VM {uuid} is switched off")
            # Works on local sockets only; over TCP libvirt would close the whole connection.
            return int(domain.openGraphicsFD(0, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH))

        descriptor = await host.calls.run(f"open the screen of VM {uuid}", work)
        try:
            connected = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise
        connected.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connected)
        return SocketConsole(reader, writer)
