"""``parcela user``."""

from typing import Annotated

import typer

from parcela.cli.client.lookup import find_role, find_user, name_of, taken_for
from parcela.cli.declare import SUBJECT, Cli, Limit, Yes, command
from parcela.cli.output import when
from parcela.cli.passwords import PasswordStdin, read_password
from parcela.cli.quotas import DiskGib, ImagesGib, MemoryMib, Slices, Vcpus, Vms, show_or_set

app = typer.Typer(no_args_is_help=True, help="Accounts.")
UserRef = Annotated[str, typer.Argument(metavar="USER", help="Id, e-mail address or username."), SUBJECT]
COLUMNS = (
    ("id", "id"),
    ("email", "email"),
    ("username", "username"),
    ("name", "full_name"),
    ("role", "role"),
    ("superuser", "is_superuser"),
    ("active", "is_active"),
    ("last login", when("last_login_at")),
)


@command(app, "list")
def list_users(
    cli: Cli,
    role: Annotated[str | None, typer.Option(help="Only those with this role (id or name).")] = None,
    begins: Annotated[
        str | None, typer.Option("--search", help="Beginning of the address, username or full name.")
    ] = None,
    limit: Limit = None,
) -> None:
    """List the users."""
    cli.out.table(
        cli.api.pages("/users/", limit, role=name_of(cli.api, find_role, role), q=begins), COLUMNS, empty="No users."
    )


@command(app, "create")
def create(
    cli: Cli,
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    username: Annotated[str | None, typer.Option(help="The part before the @ when left out.")] = None,
    full_name: Annotated[str, typer.Option("--name", help="Full name.")] = "",
    role: Annotated[str, typer.Option(help="Id or name of the role.")] = "client",
    superuser: Annotated[bool, typer.Option("--superuser", help="May do everything.")] = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Create a user; asks for the password."""
    password = read_password(f"Password for {email}", from_stdin=password_stdin, confirm=True)
    body = {
        "email": email,
        "username": username or email.partition("@")[0],
        "password": password,
        "full_name": full_name,
        "role": name_of(cli.api, find_role, role),
        "is_superuser": superuser,
    }
    cli.out.record(cli.api.post("/users/", body), COLUMNS)


@command(app, "quota")
def quota(
    cli: Cli,
    ref: UserRef,
    vcpus: Vcpus = None,
    memory_mib: MemoryMib = None,
    disk_gib: DiskGib = None,
    vms: Vms = None,
    slices: Slices = None,
    images_gib: ImagesGib = None,
) -> None:
    """Show what a user uses and may use outside of projects; with options, set these ceilings and keep the others."""
    path = f"/users/{find_user(cli.api, ref)['id']}/quota"
    show_or_set(cli, path, (vcpus, memory_mib, disk_gib, vms, slices, images_gib))


@command(app, "delete")
def delete(cli: Cli, ref: UserRef, yes: Yes = False) -> None:
    """Remove a user who owns nothing any more."""
    user = find_user(cli.api, ref)
    cli.sure(f"Delete the user {user['id']} '{user['username']}'?", yes=yes, told=taken_for("user", ref, user))
    cli.api.change("DELETE", f"/users/{user['id']}")
    cli.out.result(user, f"User {user['id']} '{user['username']}' is deleted.")


@command(app, "reset-factor")
def reset_factor(cli: Cli, ref: UserRef, yes: Yes = False) -> None:
    """Take the second factor off somebody who lost it; their sessions end. Make sure who asks you."""
    user = find_user(cli.api, ref)
    told = taken_for("user", ref, user)
    cli.sure(f"Take the second factor off the user {user['id']} '{user['username']}'?", yes=yes, told=told)
    cli.api.change("DELETE", f"/users/{user['id']}/second-factor")
    cli.out.result(user, f"'{user['username']}' logs in without a code now; their sessions have ended.")


@command(app, "password")
def password(
    cli: Cli,
    ref: Annotated[str | None, typer.Argument(metavar="USER", help="Another user; you when left out."), SUBJECT] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read from stdin: for yourself the old one first, a line each.")
    ] = False,
    keep_tokens: Annotated[
        bool, typer.Option("--keep-tokens", help="For yourself: leave your personal tokens valid.")
    ] = False,
) -> None:
    """Change your password, or set another user's (their sessions and tokens end)."""
    if ref is None:
        old = read_password("Old password", from_stdin=password_stdin)
        new = read_password("New password", from_stdin=password_stdin, confirm=True)
        body = {"old_password": old, "new_password": new, "keep_personal_tokens": keep_tokens}
        cli.api.post("/users/me/password", body)
        cli.out.result({"changed": True}, "Your password is changed.")
        return
    user = find_user(cli.api, ref)
    if told := taken_for("user", ref, user):
        cli.out.note(told)
    new = read_password(f"New password for {user['email']}", from_stdin=password_stdin, confirm=True)
    changed = cli.api.change("PATCH", f"/users/{user['id']}", {"password": new})
    cli.out.result(changed, f"The password of '{user['username']}' is changed; their sessions have ended.")
