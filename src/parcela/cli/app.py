"""The root of the command tree, and the one place where errors become exit codes."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version as installed_version
from typing import Annotated, NoReturn

import typer

from parcela.cli.exits import CliError, Exit, fail, from_parcela_error
from parcela.cli.lazy import Entry, lazy_group
from parcela.cli.output import print_error
from parcela.cli.root import Root
from parcela.core.errors import ParcelaError

LABS, STAFF, SESSION, SERVER = "Labs", "Catalogue and staff", "You", "This machine"
_COMMANDS = "parcela.cli.commands"
ENTRIES = {
    "slice": Entry(f"{_COMMANDS}.slices", "Launch, watch, reset and destroy slices.", LABS),
    "template": Entry(f"{_COMMANDS}.templates", "Save, check and exchange drawn topologies.", LABS),
    "vm": Entry(f"{_COMMANDS}.vms", "Virtual machines: of slices, and single ones.", LABS),
    "console": Entry(
        f"{_COMMANDS}.consoles", "Open the serial console of a VM, or its screen (--vnc).", LABS, "console"
    ),
    "project": Entry(f"{_COMMANDS}.projects", "Classes and teams: members and quotas.", LABS),
    "operation": Entry(f"{_COMMANDS}.operations", "Watch, cancel and repeat long work.", LABS),
    "events": Entry(f"{_COMMANDS}.events", "List what happened, or follow it live.", LABS, "events"),
    "image": Entry(f"{_COMMANDS}.images", "What VMs boot: upload and list images.", STAFF),
    "flavour": Entry(f"{_COMMANDS}.flavours", "Named sizes of VMs.", STAFF),
    "zone": Entry(f"{_COMMANDS}.zones", "Named sets of hosts.", STAFF),
    "host": Entry(f"{_COMMANDS}.hosts", "Hypervisors: capacity and state.", STAFF),
    "report": Entry(f"{_COMMANDS}.reports", "Maintenance of machines, as a table or a file.", STAFF, "report"),
    "machine": Entry(f"{_COMMANDS}.machines", "The lab's machines: list, show and register them.", STAFF),
    "audit": Entry(f"{_COMMANDS}.audit", "Who did what: search and export the audit trail.", STAFF),
    "webhook": Entry(f"{_COMMANDS}.webhooks", "Have other servers told of events.", STAFF),
    "user": Entry(f"{_COMMANDS}.users", "Accounts and passwords.", STAFF),
    "login": Entry(f"{_COMMANDS}.login", "Log in to a server and save the session.", SESSION, "login"),
    "logout": Entry(f"{_COMMANDS}.login", "End the saved session.", SESSION, "logout"),
    "whoami": Entry(f"{_COMMANDS}.login", "Show who you are and what you may do.", SESSION, "whoami"),
    "session": Entry(f"{_COMMANDS}.sessions", "Where you are logged in.", SESSION),
    "token": Entry(f"{_COMMANDS}.tokens", "Personal tokens for programs.", SESSION),
    "serve": Entry("parcela.cli.local.server", "Bring the schema up to date and serve the API.", SERVER, "serve"),
    "migrate": Entry("parcela.cli.local.server", "Bring the database schema up to a revision.", SERVER, "migrate"),
    "store": Entry("parcela.cli.local.store", "Where maintenance records are kept.", SERVER),
    "doctor": Entry(
        "parcela.cli.doctor.command", "Say what this machine can do, and how to mend the rest.", SERVER, "doctor"
    ),
    "settings": Entry("parcela.cli.local.server", "Print all settings: defaults, meaning, limits.", SERVER, "settings"),
}
HELP = """A self-hosted lab cloud: draw a network of virtual machines, launch it as an isolated slice, give it back.

Begin with 'parcela login', then 'parcela template list' and 'parcela slice deploy TEMPLATE'.
"""

app = typer.Typer(
    name="parcela",
    cls=lazy_group(ENTRIES),
    no_args_is_help=True,
    help=HELP,
    epilog="Exit codes: docs/reference/cli.md. Every command takes --json and --help.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(installed_version("parcela"))
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="Address of the server; else PARCELA_URL, else that of the last login.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --json after the command.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    found = ctx.ensure_object(Root)
    del version
    found.url = url
    found.as_json = as_json


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the ``parcela`` script; ends with one of the codes of ``Exit``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    wants_json = "--json" in given
    try:
        code = app(given, standalone_mode=False, prog_name="parcela")
    except CliError as error:
        sys.exit(_end(error, as_json=wants_json))
    except ParcelaError as error:
        sys.exit(_end(from_parcela_error(error), as_json=wants_json))
    except typer.TyperException as error:
        if wants_json and error.exit_code == Exit.USAGE:
            sys.exit(_end(fail(Exit.USAGE, "usage", error.format_message()), as_json=True))
        # With Markdown and syntax colours it is half of the start of a command; only help and this need it.
        import_module("typer.rich_utils").rich_format_error(error)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output went away; nothing is left to say
        sys.exit(Exit.UNEXPECTED)
    sys.exit(code if isinstance(code, int) else Exit.OK)


def _end(error: CliError, *, as_json: bool) -> int:
    print_error(error, as_json=as_json)
    return int(error.code)
