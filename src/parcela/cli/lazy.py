"""A group whose commands are loaded when they are used: ``parcela --help`` and clients must start fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from parcela.core.collector import no_collections


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is.

    Attributes:
        module: with a ``typer.Typer`` named ``app``.
        help: one line for the list.
        panel: heading it stands under.
        command: name inside ``app``; None when the whole of it is the command.
    """

    module: str
    help: str
    panel: str
    command: str | None = None


class LazyCommand(TyperCommand):
    """Stands for a command in lists, in suggestions and in shell completion."""

    def __init__(self, name: str, entry: Entry) -> None:
        """Only what a list shows is known."""
        super().__init__(name, help=entry.help, rich_help_panel=entry.panel)
        self.entry = entry

    def load(self) -> TyperCommand | TyperGroup:
        """The command itself."""
        with no_collections():
            app: typer.Typer = import_module(self.entry.module).app
        group = get_group(app)
        if self.entry.command is None:
            return group
        found = group.commands[self.entry.command]
        if not isinstance(found, TyperCommand):
            raise TypeError(self.entry.command)
        return found


def lazy_group(entries: Mapping[str, Entry]) -> type[TyperGroup]:
    """A class of groups with these commands."""

    class LazyGroup(TyperGroup):
        """Loads a command when it is resolved, not when it is listed."""

        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = {name: LazyCommand(name, entry) for name, entry in entries.items()}

        def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
            name, found, rest = super().resolve_command(ctx, args)
            return name, found.load() if isinstance(found, LazyCommand) else found, rest

    return LazyGroup
