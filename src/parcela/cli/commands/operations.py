"""``parcela operation``."""

from typing import Annotated

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find_slice, find_vm, number_of
from parcela.cli.client.watching import wait_for
from parcela.cli.commands.actions import MAY, finish
from parcela.cli.declare import SUBJECT, Cli, Wait, command
from parcela.cli.output import briefly, local_time, when

app = typer.Typer(no_args_is_help=True, help="Operations: long work with visible steps.")
OperationRef = Annotated[str, typer.Argument(metavar="ID", help="Number of the operation."), SUBJECT]
COLUMNS = (
    ("id", "id"),
    ("kind", "kind"),
    ("state", "state"),
    ("slice", "slice_id"),
    ("vm", "vm_id"),
    ("created", when("created_at")),
    ("finished", when("finished_at")),
    ("error", "error"),
)
STEP_COLUMNS = (
    ("state", "state"),
    ("step", "label"),
    ("attempts", "attempts"),
    ("ended", lambda row: local_time(row["finished_at"]) if row["finished_at"] else "-"),
    ("message", "message"),
)


def _path(ref: str) -> str:
    return f"/operations/{number_of(ref, 'operation')}"


@command(app, "list")
def list_operations(
    cli: Cli,
    state: Annotated[str | None, typer.Option(help="Only those in this state, e.g. running or failed.")] = None,
    in_slice: Annotated[str | None, typer.Option("--slice", help="Only those of this slice (id or name).")] = None,
    vm: Annotated[str | None, typer.Option(help="Only those of this VM (id or name).")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, e.g. slice.deploy.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Print so many at most.")] = 20,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the oldest.")] = False,
) -> None:
    """List operations, the newest first."""
    filters = {
        "state": state,
        "kind": kind,
        "slice_id": find_slice(cli.api, in_slice)["id"] if in_slice else None,
        "vm_id": find_vm(cli.api, vm)["id"] if vm else None,
        "sort": "id" if oldest_first else "-id",
    }
    cli.out.table(cli.api.pages("/operations/", limit, **filters), briefly(COLUMNS), empty="No operations.")


@command(app, "show")
def show(cli: Cli, ref: OperationRef) -> None:
    """Show an operation and its steps."""
    _print(cli, cli.api.get(_path(ref)))


def _print(cli: Cli, operation: Json) -> None:
    if cli.out.as_json:
        cli.out.document(operation)
        return
    cli.out.record(operation, (*COLUMNS, MAY))
    cli.out.table(operation["steps"], STEP_COLUMNS, empty="It has no steps.")


@command(app, "watch")
def watch(cli: Cli, ref: OperationRef) -> None:
    """Watch an operation to its end; exit code 8 when it fails."""
    _print(cli, wait_for(cli.api, cli.out, number_of(ref, "operation")))


@command(app, "cancel")
def cancel(cli: Cli, ref: OperationRef) -> None:
    """Ask it to stop: steps under way end, a deployment is undone."""
    operation = cli.api.post(f"{_path(ref)}/cancel")
    cli.out.result(
        operation, f"Operation {operation['id']} was asked to stop; 'parcela operation watch' shows its end."
    )


@command(app, "retry")
def retry(cli: Cli, ref: OperationRef, wait: Wait = True) -> None:
    """Do a failed or cancelled operation again."""
    operation = cli.api.post(f"{_path(ref)}/retry")
    finish(cli, operation, wait=wait, done=f"Operation {operation['id']} ({operation['kind']}) succeeded.")
