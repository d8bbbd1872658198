"""Console WebSockets: a ticket over HTTP, then binary frames that are the console's bytes, both ways."""

import json
import logging
from collections.abc import Callable
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from parcela.cli.client.client import Api
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
        return connect(url, max_size=None, compression=None, logger=logging.getLogger("parcela.cli.consoles.sockets"))
    except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
        text = f"The console at {api.place.url} cannot be reached: {error}"
        raise fail(Exit.UNAVAILABLE, "console_unreachable", text) from error


def quiet(_text: str) -> None:
    """For who is not told who types."""


def receive(
    connection: ClientConnection, timeout_s: float | None = None, tell: Callable[[str], None] = quiet
) -> bytes | None:
    """The next bytes of a console, None when it has ended.

    Args:
        connection: the console.
        timeout_s: how long to wait; None for ever.
        tell: gets a sentence when somebody else types from now on, or this one again; b"" is returned then.

    Raises:
        TimeoutError: nothing came in time.
        CliError: the server closed it with a reason.
    """
    try:
        data = connection.recv(timeout=timeout_s)
    except ConnectionClosed as closed:
        raise_for_close(closed)
        return None
    if isinstance(data, str):
        tell(_who_types(data))
        return b""
    return data


def _who_types(text: str) -> str:
    said = json.loads(text)
    if said.get("keyboard"):
        return "The keyboard is yours again."
    return f"{said.get('by') or 'Somebody else'} types now. You see everything, and type again when they leave."


def raise_for_close(closed: ConnectionClosed) -> None:
    """Raise the error that a close code says; nothing for an ordinary end."""
    if closed.rcvd is None:
        raise fail(Exit.UNAVAILABLE, "console_lost", "The connection to the console broke.")
    if closed.rcvd.code in _NORMAL:
        return
    word, colon, text = closed.rcvd.reason.partition(": ")
    problem = {"code": word, "detail": text} if colon else {"code": "console_closed", "detail": closed.rcvd.reason}
    raise CliError(exit_of_close(closed.rcvd.code), problem)
