"""Console WebSockets: a ticket over HTTP, then binary frames that are the console's bytes, both ways."""

import logging
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from parcela.cli.client import Api
from parcela.cli.exits import CliError, Exit, exit_of_close, fail

ENDED = 4410
"""Close code of a console whose VM is switched off."""
_NORMAL = frozenset({1000, 1001, ENDED})


def socket_url(server_url: str, path: str, ticket: str) -> str:
    """Address of a WebSocket of the server."""
    parts = urlsplit(server_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + path, f"ticket={quote(ticket)}", ""))


def open_console(api: Api, vm_id: int, kind: str) -> ClientConnection:
    """Open a console (``serial`` or ``vnc``).

    Raises:
        CliError: no ticket was given, or the server cannot be reached.
    """
    ticket = api.post(f"/virtual-machines/{vm_id}/console", {"kind": kind})
    url = socket_url(api.place.url, ticket["url"], ticket["ticket"])
    try:
        return connect(url, max_size=None, compression=None, logger=logging.getLogger("parcela.cli.sockets"))
    except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
        text = f"The console at {api.place.url} cannot be reached: {error}"
        raise fail(Exit.UNAVAILABLE, "console_unreachable", text) from error


def receive(connection: ClientConnection, timeout_s: float | None = None) -> bytes | None:
    """The next bytes of a console, None when it has ended.

    Raises:
        TimeoutError: nothing came in time.
        CliError: the server closed it with a reason.
    """
    try:
        data = connection.recv(timeout=timeout_s)
    except ConnectionClosed as closed:
        raise_for_close(closed)
        return None
    return data.encode() if isinstance(data, str) else data


def raise_for_close(closed: ConnectionClosed) -> None:
    """Raise the error that a close code says; nothing for an ordinary end."""
    if closed.rcvd is None:
        raise fail(Exit.UNAVAILABLE, "console_lost", "The connection to the console broke.")
    if closed.rcvd.code in _NORMAL:
        return
    word, colon, text = closed.rcvd.reason.partition(": ")
    problem = {"code": word, "detail": text} if colon else {"code": "console_closed", "detail": closed.rcvd.reason}
    raise CliError(exit_of_close(closed.rcvd.code), problem)
