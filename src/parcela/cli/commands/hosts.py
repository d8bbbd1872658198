"""``parcela host``."""

from typing import Annotated

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find, find_zone, taken_for
from parcela.cli.declare import SUBJECT, Cli, Yes, command, given, to_change
from parcela.cli.output import briefly, when

app = typer.Typer(no_args_is_help=True, help="Hosts: the hypervisors VMs run on.")
HostRef = Annotated[str, typer.Argument(metavar="HOST", help="Id or name of the host."), SUBJECT]
Vcpus = Annotated[int | None, typer.Option(min=1, help="Logical processors given to VMs.")]
Ram = Annotated[int | None, typer.Option(min=1, help="Memory in MiB given to VMs.")]
Disk = Annotated[int | None, typer.Option(min=1, help="Disk in GiB given to VMs.")]
Ratio = Annotated[float | None, typer.Option(help="How often this may be promised; 1 means once.")]
State = Annotated[str | None, typer.Option(help="up, draining (no new VMs), maintenance or down.")]
COLUMNS = (
    ("id", "id"),
    ("name", "name"),
    ("zone", "zone"),
    ("state", "state"),
    ("reachable", "reachable"),
    ("vcpus", lambda row: f"{row['used_vcpus']}/{row['vcpus_limit']}"),
    ("ram mib", lambda row: f"{row['used_memory_mib']}/{row['memory_limit_mib']}"),
    ("disk gib", lambda row: f"{row['used_disk_gib']}/{row['disk_limit_gib']}"),
    ("free disk", lambda row: "" if row["disk_free_mib"] is None else f"{row['disk_free_mib'] / 1024:.1f} GiB"),
    ("short of", lambda row: "disk space" if row["disk_shortage"] else ""),
    ("seen", when("last_seen_at")),
    ("error", "last_error"),
)
DETAILS = (
    *COLUMNS,
    ("shortage", "disk_shortage"),
    ("provider", "provider"),
    ("overcommit", lambda row: [row[f"{what}_overcommit"] for what in ("cpu", "memory", "disk")]),
    ("hypervisor", lambda row: row["facts"].get("hypervisor")),
    ("acceleration", lambda row: row["facts"].get("acceleration")),
    ("because", lambda row: row["facts"].get("acceleration_reason")),
    ("capabilities", lambda row: row["facts"].get("capabilities")),
)


def _find(cli: Cli, ref: str) -> Json:
    return find(cli.api, "host", "/hosts", ref)


@command(app, "list")
def list_hosts(cli: Cli, state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None) -> None:
    """List the hosts: what is reserved of what may be reserved."""
    cli.out.table(cli.api.pages("/hosts/", state=state), briefly(COLUMNS), empty="No hosts.")


@command(app, "show")
def show(cli: Cli, ref: HostRef) -> None:
    """Show a host, with what its hypervisor said of itself."""
    cli.out.record(_find(cli, ref), DETAILS)


@command(app, "add")
def add(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Its name.")],
    zone: Annotated[str, typer.Option(help="Id or name of its zone.")],
    vcpus: Annotated[int, typer.Option(min=1, help="Logical processors given to VMs.")],
    ram: Annotated[int, typer.Option(min=1, help="Memory in MiB given to VMs.")],
    disk: Annotated[int, typer.Option(min=1, help="Disk in GiB given to VMs.")],
    cpu_overcommit: Ratio = None,
    memory_overcommit: Ratio = None,
    disk_overcommit: Ratio = None,
    state: State = None,
) -> None:
    """Add a host to a zone."""
    found = find_zone(cli.api, zone)
    body = {"name": name, "zone_id": found["id"], "vcpus": vcpus, "memory_mib": ram, "disk_gib": disk}
    more = given(
        cpu_overcommit=cpu_overcommit,
        memory_overcommit=memory_overcommit,
        disk_overcommit=disk_overcommit,
        state=state,
    )
    cli.out.record(cli.api.create("/hosts/", {**body, **more}), DETAILS)


@command(app, "set")
def change(
    cli: Cli,
    ref: HostRef,
    state: State = None,
    vcpus: Vcpus = None,
    ram: Ram = None,
    disk: Disk = None,
    cpu_overcommit: Ratio = None,
    memory_overcommit: Ratio = None,
    disk_overcommit: Ratio = None,
) -> None:
    """Change state or capacity of a host."""
    changes = to_change(
        "; 'parcela host set --help' lists it.",
        state=state,
        vcpus=vcpus,
        memory_mib=ram,
        disk_gib=disk,
        cpu_overcommit=cpu_overcommit,
        memory_overcommit=memory_overcommit,
        disk_overcommit=disk_overcommit,
    )
    cli.out.record(cli.api.change("PATCH", f"/hosts/{_find(cli, ref)['id']}", changes), DETAILS)


@command(app, "delete")
def delete(cli: Cli, ref: HostRef, yes: Yes = False) -> None:
    """Remove a host without VMs."""
    host = _find(cli, ref)
    cli.sure(f"Delete the host {host['id']} '{host['name']}'?", yes=yes, told=taken_for("host", ref, host))
    cli.api.change("DELETE", f"/hosts/{host['id']}")
    cli.out.result(host, f"Host {host['id']} '{host['name']}' is deleted.")
