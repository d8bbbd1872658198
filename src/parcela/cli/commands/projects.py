"""``parcela project``."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from parcela.cli.client import Json
from parcela.cli.commanding import Cli, Limit, Yes, command
from parcela.cli.exits import Exit, fail
from parcela.cli.lookup import find_project

app = typer.Typer(no_args_is_help=True, help="Projects: classes and teams, who is in them, what they may use.")
ProjectRef = Annotated[str, typer.Argument(metavar="PROJECT", help="Id or name of the project.")]
COLUMNS = (("id", "id"), ("name", "name"), ("kind", "kind"), ("description", "description"))
LIST_COLUMNS = (*COLUMNS, ("members", "members"))
MEMBER_COLUMNS = (("user", "username"), ("name", "full_name"), ("role", "role"), ("id", "user_id"))
QUOTA_COLUMNS = (("resource", "resource"), ("used", "used"), ("limit", "limit"))
RESOURCES = ("vcpus", "memory_mib", "disk_gib", "vms", "slices")


class Kind(StrEnum):
    """What a project is for."""

    CLASS = "class"
    TEAM = "team"


class Role(StrEnum):
    """What a member may do."""

    VIEWER = "viewer"
    MEMBER = "member"
    MANAGER = "manager"


def _ceiling(text: str) -> int | None:
    """A number, or ``none`` for no ceiling."""
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit()):
        raise fail(Exit.USAGE, "usage", f"A ceiling is a whole number or 'none', not '{text}'.")
    return int(text)


@command(app, "list")
def list_projects(cli: Cli, limit: Limit = None) -> None:
    """List the projects you are in; administrators see all."""
    cli.out.table(cli.api.pages("/projects/", limit), LIST_COLUMNS, empty="You are in no project.")


@command(app, "show")
def show(cli: Cli, ref: ProjectRef) -> None:
    """Show a project, who is in it, and what it uses."""
    found = find_project(cli.api, ref)
    members = cli.api.get(f"/projects/{found['id']}/members")
    quota = cli.api.get(f"/projects/{found['id']}/quota")
    if cli.out.as_json:
        cli.out.document({"project": found, "members": members, "quota": quota})
        return
    cli.out.record(found, COLUMNS)
    cli.out.table(members, MEMBER_COLUMNS, empty="Nobody is in it.")
    cli.out.table(_rows(quota), QUOTA_COLUMNS)


@command(app, "create")
def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Its name; case does not matter.")],
    kind: Annotated[Kind, typer.Option(help="What it is for.")] = Kind.CLASS,
    description: Annotated[str, typer.Option(help="A line about it.")] = "",
) -> None:
    """Make a project in which nobody is yet."""
    body = {"name": name, "kind": kind.value, "description": description}
    cli.out.record(cli.api.create("/projects/", body), COLUMNS)


@command(app, "add-member")
def add_member(
    cli: Cli,
    ref: ProjectRef,
    user: Annotated[str, typer.Argument(help="Username or e-mail address.")],
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.MEMBER,
) -> None:
    """Take somebody in."""
    project = find_project(cli.api, ref)
    made = cli.api.create(f"/projects/{project['id']}/members", {"user": user, "role": role.value})
    cli.out.record(made, MEMBER_COLUMNS)


@command(app, "remove-member")
def remove_member(
    cli: Cli, ref: ProjectRef, user: Annotated[str, typer.Argument(help="Username.")], yes: Yes = False
) -> None:
    """Let somebody go, or leave; refused while things of theirs are in the project."""
    project = find_project(cli.api, ref)
    members = cli.api.get(f"/projects/{project['id']}/members")
    found = next((member for member in members if member["username"] == user.lower()), None)
    if found is None:
        raise fail(Exit.REFUSED, "member_not_found", f"There is nobody '{user}' in the project '{project['name']}'.")
    cli.sure(f"Remove '{found['username']}' from the project '{project['name']}'?", yes=yes)
    cli.api.change("DELETE", f"/projects/{project['id']}/members/{found['user_id']}")
    cli.out.result(found, f"'{found['username']}' is in the project no longer.")


@command(app, "quota")
def quota(
    cli: Cli,
    ref: ProjectRef,
    vcpus: Annotated[str | None, typer.Option(help="Virtual processors, or 'none'.")] = None,
    memory_mib: Annotated[str | None, typer.Option("--ram", help="Memory in MiB, or 'none'.")] = None,
    disk_gib: Annotated[str | None, typer.Option("--disk", help="Disk in GiB, or 'none'.")] = None,
    vms: Annotated[str | None, typer.Option(help="Number of VMs, or 'none'.")] = None,
    slices: Annotated[str | None, typer.Option(help="Number of slices on hosts, or 'none'.")] = None,
) -> None:
    """Show what a project uses and may use; with options, set these ceilings (administrators) and keep the others."""
    path = f"/projects/{find_project(cli.api, ref)['id']}/quota"
    given = dict(zip(RESOURCES, (vcpus, memory_mib, disk_gib, vms, slices), strict=True))
    wanted = {name: _ceiling(text) for name, text in given.items() if text is not None}
    found = cli.api.get(path)
    if wanted:
        kept = {name: found[name]["own_limit"] for name in RESOURCES}
        found = cli.api.change("PUT", path, kept | wanted)
    if cli.out.as_json:
        cli.out.document(found)
    else:
        cli.out.table(_rows(found), QUOTA_COLUMNS)


@command(app, "delete")
def delete(cli: Cli, ref: ProjectRef, yes: Yes = False) -> None:
    """Remove a project in which nothing is left."""
    found = find_project(cli.api, ref)
    cli.sure(f"Delete the project '{found['name']}'?", yes=yes)
    cli.api.change("DELETE", f"/projects/{found['id']}")
    cli.out.result(found, f"Project {found['id']} '{found['name']}' is deleted.")


def _rows(found: Json) -> list[dict[str, Any]]:
    """A quota as rows of a table."""
    rows = []
    for name in RESOURCES:
        use = found[name]
        rows.append({"resource": name, "used": use["used"], "limit": "-" if use["limit"] is None else use["limit"]})
    return rows
