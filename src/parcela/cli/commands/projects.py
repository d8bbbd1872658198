"""``parcela project``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import choose, find_project, find_user, is_plain, taken_for
from parcela.cli.declare import SUBJECT, Cli, Limit, Yes, command
from parcela.cli.exits import CliError, Exit, fail
from parcela.cli.files import read_text
from parcela.cli.quotas import (
    QUOTA_COLUMNS,
    DiskGib,
    ImagesGib,
    MemoryMib,
    Slices,
    Vcpus,
    Vms,
    rows_of,
    show_or_set,
)

app = typer.Typer(no_args_is_help=True, help="Projects: classes and teams, who is in them, what they may use.")
ProjectRef = Annotated[str, typer.Argument(metavar="PROJECT", help="Id or name of the project."), SUBJECT]
COLUMNS = (("id", "id"), ("name", "name"), ("kind", "kind"), ("description", "description"))
LIST_COLUMNS = (*COLUMNS, ("members", "members"))
MEMBER_COLUMNS = (("user", "username"), ("name", "full_name"), ("role", "role"), ("id", "user_id"))
INVITATION_COLUMNS = (("invited", "email"), ("role", "role"), ("until", "expires_at"))
OWN_COLUMNS = (("id", "project_id"), ("project", "project"), ("role", "role"), ("until", "expires_at"))


class Kind(StrEnum):
    """What a project is for."""

    CLASS = "class"
    TEAM = "team"


class Role(StrEnum):
    """What a member may do."""

    VIEWER = "viewer"
    MEMBER = "member"
    MANAGER = "manager"


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
    cli.out.table(rows_of(quota), QUOTA_COLUMNS)


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
    user: Annotated[str, typer.Argument(help="Id, username or e-mail address.")],
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.MEMBER,
) -> None:
    """Take somebody in; for administrators. Managers invite people by their e-mail address."""
    project = find_project(cli.api, ref)
    made = cli.api.create(f"/projects/{project['id']}/members", {"user": _account(cli, user), "role": role.value})
    cli.out.record(made, MEMBER_COLUMNS)


def _account(cli: Cli, user: str) -> str:
    """The username or e-mail address of what was typed; only what may be an id has to be looked up."""
    return user if is_plain(user) else str(find_user(cli.api, user)["username"])


@command(app, "members")
def members(cli: Cli, ref: ProjectRef) -> None:
    """Show who is in a project, and (to managers) which addresses are invited."""
    project = find_project(cli.api, ref)
    found = cli.api.get(f"/projects/{project['id']}/members")
    try:
        invited = cli.api.get(f"/projects/{project['id']}/invitations")
    except CliError as error:
        if error.problem.get("code") != "project_role":  # others see the members only
            raise
        invited = []
    if cli.out.as_json:
        cli.out.document({"members": found, "invitations": invited})
        return
    cli.out.table(found, MEMBER_COLUMNS, empty="Nobody is in it.")
    if invited:
        cli.out.table(invited, INVITATION_COLUMNS)


@command(app, "invite")
def invite(
    cli: Cli,
    ref: ProjectRef,
    addresses: Annotated[list[str] | None, typer.Argument(metavar="EMAIL...", help="E-mail addresses.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="File with lines of 'address' or 'address,role'; - is the standard input.")
    ] = None,
    role: Annotated[Role, typer.Option(help="What they may do, where the file does not say it.")] = Role.MEMBER,
) -> None:
    """Invite people by their e-mail address. Whether they have an account is not told."""
    project = find_project(cli.api, ref)
    if (csv is None) == (not addresses):
        raise fail(Exit.USAGE, "usage", "Name e-mail addresses, or a file with --csv.")
    text = read_text(csv) if csv else "\n".join(addresses or []) + "\n"
    answer = cli.api.request(
        "POST",
        f"/projects/{project['id']}/invitations/csv",
        params={"role": role.value},
        headers={"Content-Type": "text/csv"},
        content=lambda: iter([text.encode()]),
    ).json()
    cli.out.result(answer, f"{answer['invited']} address(es) are invited to the project '{project['name']}'.")


@command(app, "withdraw")
def withdraw(
    cli: Cli, ref: ProjectRef, email: Annotated[str, typer.Argument(help="E-mail address that was invited.")]
) -> None:
    """Take an invitation back."""
    project = find_project(cli.api, ref)
    rows = cli.api.get(f"/projects/{project['id']}/invitations")
    found = next((row for row in rows if row["email"] == email.lower()), None)
    if found is None:
        raise fail(Exit.REFUSED, "invitation_not_found", f"'{email}' is not invited to '{project['name']}'.")
    cli.api.change("DELETE", f"/projects/{project['id']}/invitations/{found['id']}")
    cli.out.result(found, f"'{found['email']}' is invited no longer.")


@command(app, "invitations")
def invitations(cli: Cli) -> None:
    """Show the projects you are asked into."""
    cli.out.table(cli.api.get("/users/me/invitations"), OWN_COLUMNS, empty="You are asked into no project.")


@command(app, "accept")
def accept(cli: Cli, ref: ProjectRef) -> None:
    """Open a project you are asked into; from now on its managers know who you are."""
    asked = _asked(cli, ref)
    found = cli.api.post(f"/projects/{asked['project_id']}/accept")
    cli.out.result(found, f"You are in the project '{found['name']}' now.")


@command(app, "decline")
def decline(cli: Cli, ref: ProjectRef) -> None:
    """Refuse an invitation; its managers are not told."""
    asked = _asked(cli, ref)
    cli.api.post(f"/projects/{asked['project_id']}/decline")
    cli.out.result(asked, f"You are not in the project '{asked['project']}'.")


def _asked(cli: Cli, ref: str) -> Json:
    """The project that the caller is asked into, by id or name."""
    found = choose("invitation", ref, cli.api.get("/users/me/invitations"), _asks_into, "project_id")
    if told := taken_for("invitation", ref, found, "project_id"):
        cli.out.note(told)
    return found


def _asks_into(row: Json, name: str) -> bool:
    return bool(row["project"].casefold() == name.casefold())


@command(app, "leave")
def leave(cli: Cli, ref: ProjectRef, yes: Yes = False) -> None:
    """Leave a project; refused while things of yours are in it."""
    project = find_project(cli.api, ref)
    told = taken_for("project", ref, project)
    cli.sure(f"Leave the project {project['id']} '{project['name']}'?", yes=yes, told=told)
    me = cli.api.get("/users/me")
    cli.api.change("DELETE", f"/projects/{project['id']}/members/{me['id']}")
    cli.out.result(project, f"You have left the project '{project['name']}'.")


@command(app, "remove-member")
def remove_member(
    cli: Cli,
    ref: ProjectRef,
    user: Annotated[str, typer.Argument(help="Id or username.")],
    yes: Yes = False,
) -> None:
    """Let somebody go, or leave; refused while things of theirs are in the project."""
    project = find_project(cli.api, ref)
    members = cli.api.get(f"/projects/{project['id']}/members")
    found = choose("member", user, members, lambda row, name: row["username"] == name.lower(), "user_id")
    question = f"Remove '{found['username']}' from the project {project['id']} '{project['name']}'?"
    told = (taken_for("project", ref, project), taken_for("member", user, found, "user_id"))
    cli.sure(question, yes=yes, told=" ".join(filter(None, told)))
    cli.api.change("DELETE", f"/projects/{project['id']}/members/{found['user_id']}")
    cli.out.result(found, f"'{found['username']}' is in the project no longer.")


@command(app, "quota")
def quota(
    cli: Cli,
    ref: ProjectRef,
    vcpus: Vcpus = None,
    memory_mib: MemoryMib = None,
    disk_gib: DiskGib = None,
    vms: Vms = None,
    slices: Slices = None,
    images_gib: ImagesGib = None,
) -> None:
    """Show what a project uses and may use; with options, set these ceilings (administrators) and keep the others."""
    path = f"/projects/{find_project(cli.api, ref)['id']}/quota"
    show_or_set(cli, path, (vcpus, memory_mib, disk_gib, vms, slices, images_gib))


@command(app, "delete")
def delete(cli: Cli, ref: ProjectRef, yes: Yes = False) -> None:
    """Remove a project in which nothing is left."""
    found = find_project(cli.api, ref)
    told = taken_for("project", ref, found)
    cli.sure(f"Delete the project {found['id']} '{found['name']}'?", yes=yes, told=told)
    cli.api.change("DELETE", f"/projects/{found['id']}")
    cli.out.result(found, f"Project {found['id']} '{found['name']}' is deleted.")
