"""``parcela login``, ``logout`` and ``whoami``."""

import sys
from contextlib import closing
from typing import Annotated

import typer

from parcela.cli.client.client import Api, Place, find_place
from parcela.cli.declare import Cli, command
from parcela.cli.exits import CliError, Exit, fail
from parcela.cli.output import when
from parcela.cli.passwords import PasswordStdin, read_password

app = typer.Typer()
ME = (
    ("email", "email"),
    ("username", "username"),
    ("name", "full_name"),
    ("role", "role"),
    ("superuser", "is_superuser"),
    ("may", "permissions"),
    ("scopes", "scopes"),
    ("last login", when("last_login_at")),
    ("server", "server"),
)


@command(app, "login")
def login(
    cli: Cli,
    url: Annotated[str | None, typer.Option(help="Address of the server, e.g. http://lab:8000.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address or username; asked for when left out.")] = None,
    password_stdin: PasswordStdin = False,
    code: Annotated[
        str, typer.Option(help="Code of the authenticator app, or a recovery code; asked for when it is needed.")
    ] = "",
) -> None:
    """Log in and save the session (file mode 0600). It is renewed by itself as long as it is used."""
    cli.url = url or cli.url
    place = find_place(cli.url, cli.environ, cli.saved)
    if email is None and password_stdin:
        raise fail(Exit.USAGE, "email_missing", "Say who you are with --email when the password comes from stdin.")
    who = email or str(typer.prompt(f"E-mail address or username at {place.url}", err=True))
    secret = read_password("Password", from_stdin=password_stdin)
    with closing(Api(place, cli.saved)) as api:
        _log_in(api, who, secret, code)
    text = f"Logged in to {place.url} as {who}; the session is saved in {cli.saved.path}."
    cli.out.result({"server": place.url, "email": who, "saved_in": str(cli.saved.path)}, text)


def _log_in(api: Api, who: str, secret: str, code: str) -> None:
    """Log in; ask for the code of a second factor when there is one and somebody to ask."""
    try:
        api.log_in(who, secret, code)
    except CliError as error:
        if error.problem.get("code") != "totp_required" or not sys.stdin.isatty():
            raise
        asked = typer.prompt("Code of your authenticator app, or a recovery code", err=True)
        api.log_in(who, secret, str(asked))


@command(app, "logout")
def logout(cli: Cli) -> None:
    """End the saved session, on the server too."""
    url = cli.api.place.url
    if url not in cli.saved.read().servers:
        cli.out.result({"server": url, "ended": False}, f"There is no saved session on {url}.")
        return
    try:
        with closing(Api(Place(url), cli.saved)) as api:  # PARCELA_TOKEN is another session
            api.post("/logout")
    except CliError as error:
        if error.code is not Exit.NOT_LOGGED_IN:
            raise  # the session would live on: say so, and keep it so that it can be tried again
    cli.saved.forget(url)
    cli.out.result({"server": url, "ended": True}, f"Logged out of {url}.")


@command(app, "whoami")
def whoami(cli: Cli) -> None:
    """Show who you are and what you may do."""
    me = cli.api.get("/users/me")
    cli.out.record({**me, "server": cli.api.place.url}, ME)
