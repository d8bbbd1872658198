"""``parcela slice``."""

from typing import Annotated, Any

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find_project, find_slice, find_template, find_zone, name_of, taken_for
from parcela.cli.client.watching import wait_for
from parcela.cli.commands.actions import MAY, Act, add_action, finish, note_cancelled
from parcela.cli.declare import SUBJECT, Cli, Limit, Wait, Yes, command
from parcela.cli.durations import Duration
from parcela.cli.exits import CliError
from parcela.cli.output import briefly, when

app = typer.Typer(no_args_is_help=True, help="Slices: running copies of templates, isolated from all others.")
SliceRef = Annotated[str, typer.Argument(metavar="SLICE", help="Id or name of the slice."), SUBJECT]
COLUMNS = (
    ("id", "id"),
    ("name", "name"),
    ("state", "state"),
    ("vms", "vm_count"),
    ("template", "template"),
    ("owner", "owner"),
    ("zone", "zone"),
    ("expires", when("expires_at")),
    ("error", "error"),
)
VM_COLUMNS = (
    ("id", "id"),
    ("vm", "name"),
    ("label", "label"),
    ("status", "status"),
    ("host", "host"),
    ("vcpus", "cores"),
    ("ram mib", "ram"),
    ("addresses", lambda row: addresses(row["nics"])),
    ("error", "error"),
)


def addresses(nics: list[Json]) -> str:
    """Addresses of a VM in the order of its network cards; ``eth1=10.0.0.2``."""
    known = ((nic["position"], nic["address"] or nic["leased_address"]) for nic in nics)
    return "  ".join(f"eth{position}={address}" for position, address in known if address) or "-"


def vms_of(cli: Cli, slice_id: int) -> list[Json]:
    """VMs of a slice, each with its network cards under ``nics``."""
    vms = cli.api.get(f"/slices/{slice_id}/vms")
    return [{**vm, "nics": cli.api.get(f"/virtual-machines/{vm['id']}/nics")} for vm in vms]


@command(app, "list")
def list_slices(
    cli: Cli,
    state: Annotated[str | None, typer.Option(help="Only those in this state; 'destroyed' shows the past.")] = None,
    project: Annotated[str | None, typer.Option(help="Only those of this project (id or name).")] = None,
    limit: Limit = None,
) -> None:
    """List your slices and those of projects you manage; administrators see all."""
    project_id = find_project(cli.api, project)["id"] if project else None
    rows = cli.api.pages("/slices/", limit, state=state, project_id=project_id)
    cli.out.table(rows, briefly(COLUMNS), empty="No slices: 'parcela slice deploy TEMPLATE' launches one.")


@command(app, "show")
def show(cli: Cli, ref: SliceRef) -> None:
    """Show a slice and its VMs with their addresses."""
    found = cli.api.get(f"/slices/{find_slice(cli.api, ref)['id']}")
    _print(cli, found, {})


@command(app, "deploy")
def deploy(
    cli: Cli,
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="Id or name of the template."), SUBJECT],
    name: Annotated[str | None, typer.Option(help="Name of the slice; that of the template when left out.")] = None,
    zone: Annotated[str | None, typer.Option(help="Id or name of the zone; the first one when left out.")] = None,
    project: Annotated[str | None, typer.Option(help="Id or name of the project it is for.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Make all VMs but let none of them run yet.")] = False,
    expires_in: Annotated[Duration | None, Duration.option("Destroy it after this time, e.g. 90m, 8h or 3d.")] = None,
    wait: Wait = True,
) -> None:
    """Launch a slice of a template and show every step; then print its VMs with their addresses."""
    body = {
        "template_id": find_template(cli.api, template)["id"],
        "name": name,
        "zone": name_of(cli.api, find_zone, zone),
        "expires_in_s": expires_in.seconds if expires_in else None,
    }
    if project is not None:
        body["project_id"] = find_project(cli.api, project)["id"]
    made = cli.api.create("/slices/", body)
    try:
        operation = cli.api.post(f"/slices/{made['id']}/deploy", {"paused": paused})
    except CliError:
        # Refused, for want of room say: the draft was only ever made for this, and nothing of it exists anywhere.
        gone = cli.api.change("DELETE", f"/slices/{made['id']}")
        wait_for(cli.api, cli.out, gone["id"])
        raise
    cli.out.note(f"Slice {made['id']} '{made['name']}': operation {operation['id']}")
    if wait:
        operation = wait_for(cli.api, cli.out, operation["id"])
    _print(cli, cli.api.get(f"/slices/{made['id']}"), {"operation": operation})


def _print(cli: Cli, found: Json, more: dict[str, Any]) -> None:
    vms = vms_of(cli, found["id"])
    if cli.out.as_json:
        cli.out.document({"slice": found, **more, "vms": vms})
        return
    cli.out.record(found, (*COLUMNS, MAY))
    cli.out.table(vms, VM_COLUMNS, empty="It has no VMs.")


@command(app, "extend")
def extend(
    cli: Cli,
    ref: SliceRef,
    expires_in: Annotated[
        Duration | None, Duration.option("New life, counted from now: 90m, 8h, 3d. The usual one when left out.")
    ] = None,
) -> None:
    """Set a new end of life."""
    found = find_slice(cli.api, ref)
    body = {"expires_in_s": expires_in.seconds if expires_in else None}
    cli.out.record(cli.api.post(f"/slices/{found['id']}/extend", body), COLUMNS)


@command(app, "destroy")
def destroy(cli: Cli, ref: SliceRef, wait: Wait = True, yes: Yes = False) -> None:
    """Remove a slice and everything in it; what is under way is cancelled first."""
    found = find_slice(cli.api, ref)
    question = f"Destroy the slice {found['id']} '{found['name']}' with its {found['vm_count']} VMs?"
    cli.sure(question, yes=yes, told=taken_for("slice", ref, found))
    operation = cli.api.change("DELETE", f"/slices/{found['id']}")
    note_cancelled(cli, found, operation)
    finish(cli, operation, wait=wait, done=f"Slice {found['id']} '{found['name']}' is destroyed.")


for act in (
    Act("start", "runs", "Boot the VMs that are off."),
    Act("stop", "is stopped", "Shut all VMs down; those that do not react are switched off.", can_force=True),
    Act("reboot", "was restarted", "Restart every running VM."),
    Act("suspend", "is paused", "Pause every running VM; memory stays."),
    Act("resume", "runs", "Let paused VMs go on."),
    Act("reset", "is as new", "Give all VMs fresh disks: what was on them is lost.", loses=True),
):
    add_action(app, act, "Slice", "/slices", find_slice)
