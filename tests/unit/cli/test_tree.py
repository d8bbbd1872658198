"""The tree of commands: quick to load, the same everywhere, documented."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from parcela.cli.app import ENTRIES, app
from parcela.cli.lazy import LazyCommand
from parcela.cli.local.reference import page
from tests.unit.cli.support import run

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
LOADED = (
    "import sys; from parcela.cli.app import main\ntry: main({arguments!r})\nexcept SystemExit: print(*sys.modules)"
)
HEAVY = {"sqlalchemy", "alembic", "libvirt", "fastapi", "starlette", "uvicorn", "pyroute2", "parcela.main"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    for name, found in group.commands.items():
        command = found.load() if isinstance(found, LazyCommand) else found
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands(get_command(app)))


def test_there_are_the_commands_that_were_promised() -> None:
    assert {path[0] for path in ALL} == set(ENTRIES)
    wanted = {
        "slice": "list show deploy extend destroy start stop reboot suspend resume reset",
        "vm": "list show create update delete start stop reboot suspend resume reset",
        "host": "list show add set delete",
        "machine": "list show add",
        "project": "list show create members invite withdraw invitations accept decline leave "
        "add-member remove-member quota delete",
        "zone": "list add set delete",
        "flavour": "list add set delete",
        "image": "list show upload import set delete",
        "template": "list show apply validate export delete",
        "user": "list create quota delete password reset-factor",
        "session": "list end",
        "token": "list create revoke",
        "operation": "list show watch cancel retry",
    }
    for group, names in wanted.items():
        assert {path[1] for path in ALL if path[0] == group} == set(names.split())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_and_json(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert command.help
    assert all(getattr(param, "help", None) for param in command.params)
    assert any("--json" in param.opts for param in command.params)
    shown = run(*path, "--help")
    assert shown.code == 0
    assert " ".join(path) in " ".join(shown.out.split())


def loaded_by(*arguments: str) -> set[str]:
    """Modules that a run loads."""
    code = LOADED.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_next_to_nothing() -> None:
    assert not loaded_by("--help") & (HEAVY | {"pydantic", "httpx2", "websockets", "yaml"})


@pytest.mark.parametrize("group", [name for name, entry in ENTRIES.items() if "commands" in entry.module])
def test_clients_load_nothing_of_the_server(group: str) -> None:
    loaded = loaded_by(group, "--help")
    assert not loaded & HEAVY
    ours = {name.split(".")[1] for name in loaded if name.startswith("parcela.")}
    assert ours == {"cli", "core"}
    assert "parcela.core.settings" not in loaded


def test_without_anything_it_helps() -> None:
    shown = run()
    assert shown.code == 2
    assert "slice" in shown.out


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").out == f"{version('parcela')}\n"


def test_a_wrong_word_gets_a_hint() -> None:
    assert "Did you mean 'slice'?" in run("slise").err
    assert run("--json", "slise").problem["code"] == "usage"
    assert run("slice", "deploy", "--json").problem["detail"] == "Missing argument 'TEMPLATE'."
    assert run("slice", "deploy").code == 2


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARCELA_CONFIG", str(tmp_path / "cli.json"))
    monkeypatch.setenv("PARCELA_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("PARCELA_TOKEN", raising=False)
    assert run("slice", "list").code == 3
    monkeypatch.setenv("PARCELA_TOKEN", "t")
    monkeypatch.setattr("parcela.cli.client.client.PAUSES_S", (0.0,))
    assert run("slice", "list", "--json").problem["code"] == "server_unreachable"
    assert run("slice", "list").code == 9


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(), "run 'python -m parcela.cli.local.reference > docs/reference/cli.md'"
