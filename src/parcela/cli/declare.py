"""How a command is declared: a function whose first argument is a ``Cli``, and ``--json`` for every one of them."""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Any, Self

import typer

from parcela.cli.client.client import Api, find_place
from parcela.cli.client.credentials import CredentialFile, config_path
from parcela.cli.client.lookup import as_id
from parcela.cli.output import Output
from parcela.cli.root import Root

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Watch until it has ended, or return at once.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask back.")]
ForceDelete = Annotated[
    bool, typer.Option("--force", help="Although templates use it: they cannot be launched any more then.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Print so many at most; all when left out.")]
ID_HELP = "{} is an id, and no name of digits; elsewhere '#7' or id:7 says so."
JSON_HELP = "Print one JSON document on stdout, and errors as a problem document on stderr."


@dataclass(frozen=True)
class Together:
    """Marks a parameter that stands for several options: those of ``make``, whose result the command gets."""

    make: Callable[..., Any]


class Subject:
    """Marks the argument that names what a command is about: by id or name, and by id alone with ``--id``."""


SUBJECT = Subject()


@dataclass
class Cli:
    """What a command works with; the connection is made on first use."""

    out: Output
    url: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _api: Api | None = None

    @property
    def saved(self) -> CredentialFile:
        """The saved sessions."""
        return CredentialFile(config_path(self.environ))

    @property
    def api(self) -> Api:
        """The server."""
        if self._api is None:
            self._api = Api(find_place(self.url, self.environ, self.saved), self.saved)
        return self._api

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._api is not None:
            self._api.close()

    def sure(self, question: str, *, yes: bool, told: str = "") -> None:
        """Ask a person at a terminal back before something is lost; scripts are not asked.

        ``told``: what digits alone were taken for; said in any case (not to programs).
        """
        if told:
            self.out.note(told)
        if yes or self.out.as_json or not (sys.stdin.isatty() and self.out.stderr.is_terminal):
            return
        typer.confirm(question, abort=True, err=True)


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a function as a command.

    Its first parameter is a ``Cli``, which is opened and closed around it; the others are typer's, or stand for several
    of typer's (``Together``). A command with a ``Subject`` has the flag ``--id``. Its docstring is the help text.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        groups = {
            parameter.name: group
            for parameter in inspect.signature(function).parameters.values()
            if (group := _group(parameter)) is not None
        }
        subject = _subject(function)

        @functools.wraps(function)
        def run(ctx: typer.Context, as_json: bool, **values: Any) -> None:
            root = ctx.find_root().ensure_object(Root)
            root.as_json = as_json or root.as_json
            for parameter, group in groups.items():
                options_of_it = inspect.signature(group.make).parameters
                values[parameter] = group.make(**{option: values.pop(option) for option in options_of_it})
            if subject is not None and values.pop("by_id"):
                values[subject.name] = as_id(values[subject.name] or "", _metavar(subject))
            with Cli(Output(as_json=root.as_json), root.url) as cli:
                function(cli, **values)

        del run.__wrapped__
        _give_signature(run, function)
        app.command(name, **options)(run)
        return function

    return register


def given(**values: Any) -> dict[str, Any]:
    """The values of options that were given: those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def to_change(hint: str, /, **values: Any) -> dict[str, Any]:
    """As ``given``, for a command that changes something.

    Raises:
        typer.BadParameter: nothing was given; ``hint`` ends the sentence that says so.
    """
    changes = given(**values)
    if not changes:
        raise typer.BadParameter(f"Say what to change{hint}")
    return changes


def _group(parameter: inspect.Parameter) -> Together | None:
    marks = getattr(parameter.annotation, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, Together)), None)


def _subject(function: Callable[..., None]) -> inspect.Parameter | None:
    """The parameter that names what a command is about."""
    parameters = inspect.signature(function).parameters.values()
    return next((one for one in parameters if SUBJECT in getattr(one.annotation, "__metadata__", ())), None)


def _metavar(parameter: inspect.Parameter) -> str:
    shown = (getattr(mark, "metavar", None) for mark in parameter.annotation.__metadata__)
    return next((str(metavar) for metavar in shown if metavar), parameter.name.upper())


def _single(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """The parameter, or those that it stands for."""
    group = _group(parameter)
    return [parameter] if group is None else list(inspect.signature(group.make).parameters.values())


def _give_signature(run: Any, function: Callable[..., None]) -> None:
    """Typer reads the signature: ``ctx``, what the function has beside its ``Cli``, ``--id`` and ``--json``."""
    _cli, *parts = inspect.signature(function).parameters.values()
    others = [one for parameter in parts for one in _single(parameter)]
    subject = _subject(function)
    if subject is not None:
        id_type = Annotated[bool, typer.Option("--id", help=ID_HELP.format(_metavar(subject)))]
        others.append(inspect.Parameter("by_id", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=id_type))
    json_type = Annotated[bool, typer.Option("--json", help=JSON_HELP)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("ctx", keyword, annotation=typer.Context),
        *(parameter.replace(kind=keyword) for parameter in others),
        inspect.Parameter("as_json", keyword, default=False, annotation=json_type),
    ]
    run.__signature__ = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
