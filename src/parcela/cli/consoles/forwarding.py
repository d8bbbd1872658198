"""A local TCP port that leads to a VM's screen, for any VNC viewer. Each viewer gets a ticket of its own."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from parcela.cli.consoles.sockets import quiet, receive
from parcela.cli.exits import CliError, Exit, fail

CHUNK_BYTES = 65536


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    try:
        return socket.create_server((address, port))
    except OSError as error:
        text = f"Cannot listen on {address}:{port}: {error.strerror or error}"
        raise fail(Exit.UNAVAILABLE, "port_taken", text) from error


def forward(viewer: socket.socket, connection: ClientConnection, tell: Callable[[str], None] = quiet) -> None:
    """Carry bytes both ways until one side ends; ``tell`` gets a sentence when another one types, or this one again."""
    back = threading.Thread(target=_to_guest, args=(viewer, connection), name="parcela-vnc", daemon=True)
    with connection, viewer:
        back.start()
        with suppress(OSError):
            while (data := receive(connection, tell=tell)) is not None:
                viewer.sendall(data)
            viewer.shutdown(socket.SHUT_RDWR)
    back.join(timeout=5)


def _to_guest(viewer: socket.socket, connection: ClientConnection) -> None:
    with suppress(ConnectionClosed, OSError):
        while data := viewer.recv(CHUNK_BYTES):
            connection.send(data)
    with suppress(OSError):
        connection.close()


def serve(
    server: socket.socket,
    open_screen: Callable[[], ClientConnection],
    on_error: Callable[[CliError], None],
    tell: Callable[[str], None] = quiet,
    *,
    once: bool,
) -> None:
    """Take viewers, each on a thread of its own; with ``once`` only the first, to its end.

    Args:
        server: listening socket.
        open_screen: opens the VM's screen.
        on_error: told of viewers that could not be served; with ``once`` the error is raised.
        tell: gets a sentence when somebody else types on the screen from now on, or this one again.
        once: see above.
    """
    while True:
        viewer, _address = server.accept()
        if once:
            with viewer:
                forward(viewer, open_screen(), tell)
            return
        threading.Thread(
            target=_serve_one, args=(viewer, open_screen, on_error, tell), name="parcela-viewer", daemon=True
        ).start()


def _serve_one(
    viewer: socket.socket,
    open_screen: Callable[[], ClientConnection],
    on_error: Callable[[CliError], None],
    tell: Callable[[str], None],
) -> None:
    with viewer:
        try:
            forward(viewer, open_screen(), tell)
        except CliError as error:
            on_error(error)
