"""``parcela console``."""

import re
import sys
from typing import Annotated

import typer
from websockets.sync.client import ClientConnection

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find_vm
from parcela.cli.consoles.forwarding import listen, serve
from parcela.cli.consoles.scripted import Script, Session, check_seen
from parcela.cli.consoles.sockets import open_console, receive
from parcela.cli.consoles.terminal import talk
from parcela.cli.declare import SUBJECT, Cli, command
from parcela.cli.exits import Exit, fail

app = typer.Typer()
LISTEN_S = 10.0
WAIT_S = 60.0


@command(app, "console")
def console(
    cli: Cli,
    ref: Annotated[str, typer.Argument(metavar="VM", help="Id, name or label of the VM, or SLICE/VM."), SUBJECT],
    text: Annotated[str | None, typer.Option("--command", "-c", help="Type this and Enter, in a script.")] = None,
    until: Annotated[str | None, typer.Option(help="Wait for this regular expression in what comes then.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds in a script; 60 with --until, else 10.")
    ] = None,
    vnc: Annotated[
        bool, typer.Option("--vnc", help="The screen instead: opens a local port for a VNC viewer.")
    ] = False,
    address: Annotated[str, typer.Option("--listen", help="With --vnc: local address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --vnc: local port; 0 takes a free one.")] = 0,
    once: Annotated[bool, typer.Option("--once", help="With --vnc: end when the first viewer leaves.")] = False,
) -> None:
    """Open the serial console of a VM; Ctrl-] leaves it. When several have it open, all see it and the newest types.

    In a script (with --command, --until, --json or piped stdin) it types the text and prints what the guest answers:
    exit code 8 when the text of --until does not come in time.
    """
    vm = find_vm(cli.api, ref)
    if vnc:
        _screen(cli, vm, address, port, once=once)
        return
    scripted = text is not None or until is not None or timeout is not None or cli.out.as_json
    with open_console(cli.api, vm["id"], "serial") as connection:
        if not scripted and sys.stdin.isatty() and sys.stdout.isatty():
            cli.out.note(f"Console of '{vm['name']}'; Ctrl-] leaves it.")
            talk(connection)
            cli.out.note("\nThe console is closed.")
            return
        typed = text if text is not None else ("" if sys.stdin.isatty() else sys.stdin.read())
        script = Script(typed, _pattern(until), timeout or (WAIT_S if until else LISTEN_S))
        _script(cli, vm, connection, script)


def _pattern(until: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(until, re.MULTILINE) if until is not None else None
    except re.error as error:
        raise fail(Exit.USAGE, "bad_pattern", f"'{until}' is no regular expression: {error}") from error


def _script(cli: Cli, vm: Json, connection: ClientConnection, script: Script) -> None:
    session = Session(lambda timeout_s: receive(connection, timeout_s, cli.out.note), connection.send)
    output, seen = session.run(script)
    if cli.out.as_json:
        if seen or script.until is None:
            cli.out.document({"vm": vm, "output": output, "matched": seen, "ended": session.ended})
    else:
        cli.out.raw(output if output.endswith("\n") or not output else output + "\n")
    check_seen(script, seen=seen)


def _screen(cli: Cli, vm: Json, address: str, port: int, *, once: bool) -> None:
    with listen(address, port) as server:
        host, chosen = server.getsockname()[:2]
        where = {"vm_id": vm["id"], "host": host, "port": chosen}
        if cli.out.as_json:
            cli.out.line(where)
        else:
            cli.out.result(where, f"{host}:{chosen}")
            sys.stdout.flush()
            cli.out.note(f"The screen of '{vm['name']}': open vnc://{host}:{chosen} in a viewer; Ctrl-C ends it.")
        serve(
            server,
            lambda: open_console(cli.api, vm["id"], "vnc"),
            lambda error: cli.out.note(str(error)),
            cli.out.note,
            once=once,
        )
