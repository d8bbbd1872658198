"""Quotas of users and projects on the command line."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from parcela.cli.client.client import Json
from parcela.cli.declare import Cli
from parcela.cli.exits import Exit, fail

RESOURCES = ("vcpus", "memory_mib", "disk_gib", "vms", "slices", "images_gib")
QUOTA_COLUMNS = (("resource", "resource"), ("used", "used"), ("limit", "limit"))
Vcpus = Annotated[str | None, typer.Option(help="Virtual processors, or 'none'.")]
MemoryMib = Annotated[str | None, typer.Option("--ram", help="Memory in MiB, or 'none'.")]
DiskGib = Annotated[str | None, typer.Option("--disk", help="Disk in GiB, or 'none'.")]
Vms = Annotated[str | None, typer.Option(help="Number of VMs, or 'none'.")]
Slices = Annotated[str | None, typer.Option(help="Number of slices on hosts, or 'none'.")]
ImagesGib = Annotated[
    str | None, typer.Option("--images", help="Images with their copies on hosts in GiB; 'none' for the default.")
]


def show_or_set(cli: Cli, path: str, ceilings: Sequence[str | None]) -> None:
    """Show the quota at a path; before that, set the ceilings that are given and keep the others.

    Args:
        cli: the command line.
        path: of the quota.
        ceilings: texts in the order of ``RESOURCES``; None keeps one.
    """
    wanted = {name: _ceiling(text) for name, text in zip(RESOURCES, ceilings, strict=True) if text is not None}
    found = cli.api.get(path)
    if wanted:
        kept = {name: found[name]["own_limit"] for name in RESOURCES}
        found = cli.api.change("PUT", path, kept | wanted)
    if cli.out.as_json:
        cli.out.document(found)
    else:
        cli.out.table(rows_of(found), QUOTA_COLUMNS)


def rows_of(found: Json) -> list[dict[str, Any]]:
    """A quota as rows of a table."""
    rows = []
    for name in RESOURCES:
        use = found[name]
        rows.append({"resource": name, "used": use["used"], "limit": "-" if use["limit"] is None else use["limit"]})
    return rows


def _ceiling(text: str) -> int | None:
    """A number, or ``none`` for no ceiling."""
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit()):
        raise fail(Exit.USAGE, "usage", f"A ceiling is a whole number or 'none', not '{text}'.")
    return int(text)
