"""``parcela report``."""

from pathlib import Path
from typing import Annotated

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find_machine
from parcela.cli.declare import SUBJECT, Cli, command
from parcela.cli.exits import Exit, fail
from parcela.cli.files import write_bytes

app = typer.Typer()
FORMATS = ("json", "csv", "xlsx", "pdf")
Since = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="First day.")]
Until = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="Last day.")]
COLUMNS = (
    ("code", lambda row: row["machine"]["code"]),
    ("type", lambda row: row["machine"]["kind"]),
    ("area", lambda row: row["machine"]["area"]),
    ("status", lambda row: row["machine"]["status"]),
    ("preventive", "preventive"),
    ("corrective", "corrective"),
    ("last", lambda row: row["last_maintenance"] or "-"),
    ("days between failures", lambda row: row["days_between_failures"] or "-"),
)


@command(app, "report")
def report(
    cli: Cli,
    machine: Annotated[str | None, typer.Argument(help="Id or code of a machine; all when left out."), SUBJECT] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: its name ends in .pdf, .xlsx, .csv or .json.")
    ] = None,
    lang: Annotated[str | None, typer.Option(help="en or es: language of a file; yours unless given.")] = None,
    area: Annotated[str | None, typer.Option(help="Only machines of this area.")] = None,
    machine_type: Annotated[str | None, typer.Option("--type", help="Only machines of this type.")] = None,
    kind: Annotated[str | None, typer.Option(help="preventive or corrective.")] = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Report the maintenance of a machine or of all: on the terminal, or as a file."""
    form = _format(output)
    path, params = "/reports/maintenance", {"area": area, "type": machine_type}
    if machine is not None:
        if area or machine_type:
            raise typer.BadParameter("--area and --type are for all machines.")
        found = find_machine(cli.api, machine)
        path, params = f"/machines/{found['id']}/report", {}
    params |= {"kind": kind, "since": since, "until": until, "lang": lang, "format": form}
    answer = cli.api.request("GET", path, params=params)
    if output is None:
        facts: Json = answer.json()
        if cli.out.as_json:
            cli.out.document(facts)
        else:
            cli.out.table(facts["machines"], COLUMNS, empty="No machines.")
        return
    write_bytes(output, answer.content)
    cli.out.result({"file": str(output), "bytes": len(answer.content)}, f"{output} is written.")


def _format(output: Path | None) -> str:
    form = "json" if output is None else output.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise fail(Exit.USAGE, "format_unknown", f"The name of the file ends in one of: {', '.join(FORMATS)}.")
    return form
