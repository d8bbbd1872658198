"""``parcela vm``."""

from pathlib import Path
from typing import Annotated

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import (
    find_flavour,
    find_image,
    find_project,
    find_slice,
    find_vm,
    find_zone,
    name_of,
    taken_for,
)
from parcela.cli.client.watching import wait_for
from parcela.cli.commands.actions import MAY, Act, add_action, finish, note_cancelled
from parcela.cli.commands.slices import addresses
from parcela.cli.declare import SUBJECT, Cli, Limit, Wait, Yes, command, to_change
from parcela.cli.files import read_text
from parcela.cli.output import briefly, when

app = typer.Typer(no_args_is_help=True, help="Virtual machines: those of slices, and single ones.")
VmRef = Annotated[str, typer.Argument(metavar="VM", help="Id, name or label of the VM, or SLICE/VM."), SUBJECT]
CrashPolicy = Annotated[str | None, typer.Option(help="When its QEMU dies: 'error' shows it, 'restart' starts it.")]
LabelOption = Annotated[str | None, typer.Option(help="What you call it, in any words; '' takes it away.")]
COLUMNS = (
    ("id", "id"),
    ("name", "name"),
    ("label", "label"),
    ("status", "status"),
    ("os", "os"),
    ("vcpus", "cores"),
    ("ram mib", "ram"),
    ("disk gib", "disk"),
    ("slice", "slice"),
    ("owner", "owner"),
    ("host", "host"),
    ("error", "error"),
)
DETAILS = (
    *COLUMNS,
    ("reason", "status_reason"),
    ("wanted", "desired"),
    ("flavour", "flavour"),
    ("crash policy", "crash_policy"),
    ("ready since", when("ready_at")),
    ("created", when("created_at")),
    ("addresses", lambda row: addresses(row.get("nics", []))),
    MAY,
)


@command(app, "list")
def list_vms(
    cli: Cli,
    status: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    in_slice: Annotated[str | None, typer.Option("--slice", help="Only those of this slice (id or name).")] = None,
    project: Annotated[str | None, typer.Option(help="Only those of this project (id or name).")] = None,
    limit: Limit = None,
) -> None:
    """List your VMs and those of projects you manage; administrators see all."""
    filters = {
        "slice_id": find_slice(cli.api, in_slice)["id"] if in_slice else None,
        "project_id": find_project(cli.api, project)["id"] if project else None,
    }
    rows = cli.api.pages("/virtual-machines/", limit, status=status, **filters)
    cli.out.table(rows, briefly(COLUMNS), empty="No VMs.")


@command(app, "show")
def show(cli: Cli, ref: VmRef) -> None:
    """Show a VM with its network cards."""
    _print(cli, find_vm(cli.api, ref)["id"])


def _print(cli: Cli, vm_id: int) -> None:
    vm: Json = cli.api.get(f"/virtual-machines/{vm_id}")
    cli.out.record({**vm, "nics": cli.api.get(f"/virtual-machines/{vm_id}/nics")}, DETAILS)


@command(app, "create")
def create(
    cli: Cli,
    image: Annotated[str, typer.Option("--image", "--os", help="Id or name of the image; see 'parcela image list'.")],
    name: Annotated[
        str | None, typer.Argument(help="Host name: letters, digits and inner hyphens; left out, made of the label.")
    ] = None,
    label: LabelOption = None,
    flavour: Annotated[
        str | None, typer.Option(help="Id or name of the flavour; or give --cores, --ram and --disk.")
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, max=128, help="Virtual processors.")] = None,
    ram: Annotated[int | None, typer.Option(min=64, help="Memory in MiB.")] = None,
    disk: Annotated[int | None, typer.Option(min=1, help="Disk in GiB.")] = None,
    public: Annotated[bool, typer.Option("--public/--no-public", help="A network card to the outside.")] = True,
    ssh_key: Annotated[
        list[Path] | None, typer.Option(help="File with a public key that may log in; may be given again.")
    ] = None,
    user_data: Annotated[Path | None, typer.Option(help="File: a script (#!) or #cloud-config for first boot.")] = None,
    zone: Annotated[str | None, typer.Option(help="Id or name of the zone; the first one when left out.")] = None,
    crash_policy: CrashPolicy = None,
    wait: Wait = True,
) -> None:
    """Make a single VM and boot it."""
    if name is None and label is None:
        raise typer.BadParameter("Give a name, a --label, or both.")
    named = {
        "os": name_of(cli.api, find_image, image),
        "flavour": name_of(cli.api, find_flavour, flavour),
        "zone": name_of(cli.api, find_zone, zone),
    }
    body: Json = {"name": name, "label": label or "", "cores": cores, "ram": ram, "disk": disk, **named}
    body |= {"public_access": public, "user_data": read_text(user_data) if user_data else None}
    body["ssh_keys"] = [line for path in ssh_key or [] for line in read_text(path).splitlines() if line.strip()]
    if crash_policy:
        body["crash_policy"] = crash_policy
    made = cli.api.create("/virtual-machines/", body)
    cli.out.note(f"VM {made['id']} '{made['name']}': operation {made['operation_id']}")
    if wait and made["operation_id"] is not None:
        wait_for(cli.api, cli.out, made["operation_id"])
    _print(cli, made["id"])


@command(app, "update")
def update(
    cli: Cli,
    ref: VmRef,
    name: Annotated[str | None, typer.Option(help="New host name.")] = None,
    label: LabelOption = None,
    cores: Annotated[int | None, typer.Option(min=1, max=128, help="Virtual processors.")] = None,
    ram: Annotated[int | None, typer.Option(min=64, help="Memory in MiB.")] = None,
    disk: Annotated[int | None, typer.Option(min=1, help="Disk in GiB; it can only grow.")] = None,
    crash_policy: CrashPolicy = None,
    wait: Wait = True,
) -> None:
    """Change a VM. Name and sizes need it to be stopped, the label does not."""
    hint = ": --name, --label, --cores, --ram, --disk or --crash-policy."
    body = to_change(hint, name=name, label=label, cores=cores, ram=ram, disk=disk, crash_policy=crash_policy)
    found = find_vm(cli.api, ref)
    changed = cli.api.change("PUT", f"/virtual-machines/{found['id']}", body)
    if wait and changed["operation_id"] is not None:
        wait_for(cli.api, cli.out, changed["operation_id"])
    _print(cli, found["id"])


@command(app, "delete")
def delete(cli: Cli, ref: VmRef, wait: Wait = True, yes: Yes = False) -> None:
    """Remove a single VM and everything of it; what is under way is cancelled first."""
    found = find_vm(cli.api, ref)
    question = f"Delete the VM {found['id']} '{found['name']}' and its disk?"
    cli.sure(question, yes=yes, told=taken_for("vm", ref, found))
    operation = cli.api.change("DELETE", f"/virtual-machines/{found['id']}")
    note_cancelled(cli, found, operation)
    finish(cli, operation, wait=wait, done=f"VM {found['id']} '{found['name']}' is deleted.")


for act in (
    Act("start", "runs", "Boot it; one in error is made whole again first."),
    Act("stop", "is stopped", "Press its power button; pull the plug when it does not react.", can_force=True),
    Act("reboot", "was restarted", "Restart it."),
    Act("suspend", "is paused", "Pause it; memory stays."),
    Act("resume", "runs", "Let it go on."),
    Act("reset", "is as new", "Give it a fresh disk: what was on it is lost.", loses=True),
):
    add_action(app, act, "VM", "/virtual-machines", find_vm)
