"""How much of what was written has not arrived yet."""

import fcntl
import struct
import termios
from asyncio import Transport


def pending_bytes(transport: Transport) -> int:
    """Bytes that wait for the client: those of the transport and, only when there are some, those the kernel has.

    Without the kernel's a slow but honest reader would seem to take nothing for minutes: it gets megabytes at a time.
    """
    own = transport.get_write_buffer_size()
    if not own:
        return 0
    socket = transport.get_extra_info("socket")
    try:
        kept = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except (AttributeError, OSError):
        return own
    return own + int(struct.unpack("i", kept)[0])
