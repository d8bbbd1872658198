"""Where passwords come from: a hidden prompt, or stdin. Never the command line, which every user can read."""

import sys
from typing import Annotated

import typer

from parcela.cli.exits import Exit, fail

PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin (one line).")]


def read_password(prompt: str, *, from_stdin: bool, confirm: bool = False) -> str:
    """A password.

    Raises:
        CliError: exit code USAGE when nobody is there to ask.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise fail(Exit.USAGE, "no_terminal", "There is no terminal to ask for the password: use --password-stdin.")
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
