"""Commands for the machine that serves: ``serve``, ``migrate``, ``settings``."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvicorn

from parcela.cli.exits import Exit, fail
from parcela.cli.files import write_text
from parcela.cli.local.settings_table import markdown, rows_in_use
from parcela.cli.output import Output
from parcela.cli.root import Root
from parcela.core.collector import no_collections
from parcela.core.logs import configure_logging
from parcela.core.open_files import FEW, raise_open_files
from parcela.core.settings import Settings, load_settings, read_older_names
from parcela.db import schema
from parcela.db.database import ProcessLock

app = typer.Typer()
log = structlog.get_logger(__name__)
MAX_MESSAGE_BYTES = 1048576
"""Of one WebSocket message: consoles are typed and pasted into, nothing else is said to us."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and errors as one on stderr.")]


def configured() -> Settings:
    """Settings with the logging they ask for.

    Raises:
        ParcelaError: with every problem they have; it ends as exit code 78.
    """
    settings = load_settings()
    configure_logging(level=settings.log_level, as_json=settings.log_json)
    return settings


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keep other processes away from a SQLite database; the servers exclude each other by themselves.

    Raises:
        ParcelaError: kind ``conflict`` when a process works on it.
    """
    if not settings.resolved_database_url.startswith("sqlite"):
        yield
        return
    lock = ProcessLock(settings.data_dir)
    try:
        lock.acquire()
    except OSError as error:
        text = f"The data folder {settings.data_dir} cannot be used ({error.strerror}); see PARCELA_DATA_DIR."
        raise fail(Exit.SETTINGS, "data_dir_unusable", text) from error
    try:
        yield
    finally:
        lock.release()


def check_port(host: str, port: int) -> None:
    """Say in a sentence, before anything is changed, that the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        text = f"Cannot listen on {host}:{port} ({reason}); choose another with --port or PARCELA_PORT."
        raise fail(Exit.CONFLICT, "port_taken", text) from error


def _tell_older_names() -> None:
    """Say which variables of the older systems are read for which of ours, and which are not, and why."""
    found = read_older_names()
    if found.sources:
        used = {ours: ", ".join(names) for ours, names in found.sources.items()}
        log.info("settings.older_names", **used)
    if found.unused:
        log.warning("settings.older_names_not_used", **found.unused)


def _upgrade(settings: Settings, revision: str) -> None:
    # Alembic is large, and most starts find the schema as it should be.
    from parcela.db.migrate import upgrade

    upgrade(settings.resolved_database_url, revision)


def _config(settings: Settings, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        "parcela.main:app_from_environment",
        factory=True,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        # The application believes the proxies that the administrator named; uvicorn would everybody on this machine.
        proxy_headers=False,
        server_header=False,
        http="parcela.api.http_protocol:LimitedHttpProtocol",
        timeout_keep_alive=settings.keep_alive_timeout_s,
        ws="parcela.api.websockets.protocol:FrameProtocol",
        # Compressed, every client's frame would be another one, and every connection would hold its own state.
        ws_per_message_deflate=False,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=settings.websocket_ping_s,
        ws_ping_timeout=settings.websocket_ping_s,
        # Consoles and event streams never end by themselves; do not wait for them for ever.
        timeout_graceful_shutdown=5,
    )


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; overrides PARCELA_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port; overrides PARCELA_PORT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what stops the start as a JSON document.")] = False,
) -> None:
    """Bring the schema up to date and serve the API, until Ctrl-C."""
    del as_json  # where errors are printed, the whole command line is looked at
    if host:
        os.environ["PARCELA_HOST"] = host  # the application reads it too, to know who can reach it
    if port:
        os.environ["PARCELA_PORT"] = str(port)  # and names it in its own addresses
    settings = configured()
    host, port = settings.listen_host, settings.listen_port
    check_port(host, port)
    _tell_older_names()
    files = raise_open_files()
    if files < FEW:
        log.warning("serve.few_open_files", files=files, wanted=FEW, mend="LimitNOFILE= of the unit, or ulimit -n")
    with alone(settings):
        if not schema.is_current(settings.resolved_database_url):
            _upgrade(settings, "head")
    server = uvicorn.Server(_config(settings, host, port))
    with no_collections():  # until the application answers; see ``main.app_from_environment``
        server.run()
    if not server.started:
        # uvicorn.run would end with 3, which means 'not logged in' here
        raise typer.Exit(Exit.UNEXPECTED)


@app.command()
def migrate(
    ctx: typer.Context,
    revision: Annotated[str, typer.Argument(help="Revision to go to.")] = "head",
    as_json: AsJson = False,
) -> None:
    """Bring the database schema up to a revision. 'serve' does it by itself."""
    out = _output(ctx, as_json=as_json)
    settings = configured()
    with alone(settings):
        _upgrade(settings, revision)
    out.result({"revision": revision}, f"The schema is at '{revision}'.")


@app.command()
def settings(
    ctx: typer.Context,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The page docs/reference/settings.md.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="With --markdown: file to write.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print all settings: name, value, where it comes from, default, limits, meaning; no secrets.

    They come from the environment and from a file .env.
    """
    out = _output(ctx, as_json=as_json)
    if not as_markdown:
        columns = ("name", "value", "source", "default", "allowed", "meaning")
        out.table(rows_in_use(), [(column, column) for column in columns])
    elif output is None:
        out.raw(markdown())
    else:
        write_text(output, markdown())
        out.result({"file": str(output)}, f"{output} is written.")


def _output(ctx: typer.Context, *, as_json: bool) -> Output:
    return Output(as_json=as_json or ctx.find_root().ensure_object(Root).as_json)
