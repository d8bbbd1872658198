"""What slices and VMs have in common: start, stop, reset ... are one POST each, and then an operation to watch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from parcela.cli.client.client import Api, Json
from parcela.cli.client.lookup import taken_for
from parcela.cli.client.watching import wait_for
from parcela.cli.declare import SUBJECT, Cli, Wait, Yes, command

Ref = Annotated[str, typer.Argument(metavar="NAME", help="Id or name; a VM also as SLICE/VM."), SUBJECT]
Force = Annotated[
    bool, typer.Option("--force", help="Power off at once, without asking the guest: what it has not written is lost.")
]
MAY = ("you may", lambda row: ", ".join(row.get("allowed_actions", ())) or "-")
"""Column of a single thing: what the server would accept from this caller now."""


@dataclass(frozen=True, slots=True)
class Act:
    """An action.

    Attributes:
        name: last part of its path, and of the command.
        done: end of the sentence that says it is done.
        help: what it does.
        loses: data is lost, so a person is asked back.
        can_force: takes ``--force``, which does not ask the guest.
    """

    name: str
    done: str
    help: str
    loses: bool = False
    can_force: bool = False


def finish(cli: Cli, operation: Json, *, wait: bool, done: str) -> None:
    """Watch an operation to its end when asked to, and print it."""
    if wait:
        operation = wait_for(cli.api, cli.out, operation["id"])
    text = done if wait else f"Operation {operation['id']}: 'parcela operation watch {operation['id']}' shows it."
    cli.out.result(operation, text)


def note_cancelled(cli: Cli, found: Json, destruction: Json) -> None:
    """Say so when something was under way that a destruction has to wait for."""
    if found["operation_id"] not in {None, destruction["id"]}:
        cli.out.note(f"Operation {found['operation_id']} is working on it and is cancelled first.")


def add_action(app: typer.Typer, act: Act, noun: str, path: str, find: Callable[[Api, str], Json]) -> None:
    """Add an action as a command."""

    def found_of(cli: Cli, ref: str, *, yes: bool = True) -> Json:
        found = find(cli.api, ref)
        question = f"{noun} {found['id']} '{found['name']}': {act.help} Go on?"
        cli.sure(question, yes=yes, told=taken_for(noun.lower(), ref, found))
        return found

    def run(cli: Cli, ref: Ref, wait: Wait = True) -> None:
        _run(cli, act, noun, path, found_of(cli, ref), wait=wait)

    def ask_and_run(cli: Cli, ref: Ref, wait: Wait = True, yes: Yes = False) -> None:
        _run(cli, act, noun, path, found_of(cli, ref, yes=yes), wait=wait)

    def run_or_force(cli: Cli, ref: Ref, wait: Wait = True, force: Force = False) -> None:
        _run(cli, act, noun, path, found_of(cli, ref), wait=wait, force=force)

    chosen: Callable[..., None] = run_or_force if act.can_force else ask_and_run if act.loses else run
    chosen.__doc__ = act.help
    command(app, act.name)(chosen)


def _run(cli: Cli, act: Act, noun: str, path: str, found: Json, *, wait: bool, force: bool = False) -> None:
    # As a parameter: the client takes a query off the path when there are no parameters.
    operation = cli.api.post(f"{path}/{found['id']}/{act.name}", force="true" if force else None)
    finish(cli, operation, wait=wait, done=f"{noun} {found['id']} '{found['name']}' {act.done}.")
