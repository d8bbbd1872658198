"""``parcela flavour``."""

from typing import Annotated

import typer

from parcela.cli.client.lookup import find_flavour, taken_for
from parcela.cli.declare import SUBJECT, Cli, ForceDelete, Yes, command, to_change

app = typer.Typer(no_args_is_help=True, help="Flavours: named sizes of VMs.")
COLUMNS = (("id", "id"), ("name", "name"), ("vcpus", "vcpus"), ("ram mib", "memory_mib"), ("disk gib", "disk_gib"))


FlavourRef = Annotated[str, typer.Argument(metavar="FLAVOUR", help="Id or name."), SUBJECT]


@command(app, "list")
def list_flavours(cli: Cli) -> None:
    """List the flavours."""
    cli.out.table(cli.api.pages("/flavours/", sort="memory_mib"), COLUMNS, empty="No flavours.")


@command(app, "add")
def add(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Its name.")],
    vcpus: Annotated[int, typer.Option("--vcpus", "--cores", min=1, help="Virtual processors.")],
    memory_mib: Annotated[int, typer.Option("--ram", min=1, help="Memory in MiB.")],
    disk_gib: Annotated[int, typer.Option("--disk", min=1, help="Disk in GiB.")],
) -> None:
    """Add a flavour."""
    body = {"name": name, "vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib}
    cli.out.record(cli.api.create("/flavours/", body), COLUMNS)


@command(app, "set")
def change(
    cli: Cli,
    ref: FlavourRef,
    name: Annotated[str | None, typer.Option(help="New name; templates keep to the flavour.")] = None,
    vcpus: Annotated[int | None, typer.Option("--vcpus", "--cores", min=1, help="Virtual processors.")] = None,
    memory_mib: Annotated[int | None, typer.Option("--ram", min=1, help="Memory in MiB.")] = None,
    disk_gib: Annotated[int | None, typer.Option("--disk", min=1, help="Disk in GiB.")] = None,
) -> None:
    """Rename or resize a flavour; VMs made with it keep their size."""
    hint = ": --name, --vcpus, --ram or --disk."
    body = to_change(hint, name=name, vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib)
    found = find_flavour(cli.api, ref)
    cli.out.record(cli.api.change("PATCH", f"/flavours/{found['id']}", body), COLUMNS)


@command(app, "delete")
def delete(cli: Cli, ref: FlavourRef, yes: Yes = False, force: ForceDelete = False) -> None:
    """Remove a flavour that no template uses; VMs made with it keep their size."""
    flavour = find_flavour(cli.api, ref)
    told = taken_for("flavour", ref, flavour)
    cli.sure(f"Delete the flavour {flavour['id']} '{flavour['name']}'?", yes=yes, told=told)
    cli.api.change("DELETE", f"/flavours/{flavour['id']}", force="true" if force else None)
    cli.out.result(flavour, f"Flavour {flavour['id']} '{flavour['name']}' is deleted.")
