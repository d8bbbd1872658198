"""The page ``docs/reference/cli.md``, made from the commands: ``python -m parcela.cli.local.reference > FILE``."""

import sys
from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from parcela.cli.app import app
from parcela.cli.exits import MEANINGS
from parcela.cli.lazy import LazyCommand

HEAD = """# The `parcela` command

This page is generated from the commands: `python -m parcela.cli.local.reference > docs/reference/cli.md`.

```sh
parcela login --url http://lab:8000 --email ana@lab.example   # asks for the password
parcela template list
parcela slice deploy "First lab" --name monday                # shows every step, then the addresses
parcela console monday/client                                 # Ctrl-] leaves
parcela slice destroy monday
```

- **Server**: `--url`, else `PARCELA_URL`, else that of the last login, else `http://127.0.0.1:8000`.
- **Session**: `login` saves it in `~/.config/parcela/cli.json` (or `$PARCELA_CONFIG`), mode 0600, one per server. It is
  renewed by itself. `PARCELA_TOKEN` (a personal token, say) goes before it. See [settings](settings.md).
- **Names**: wherever a thing is asked for, its id or its unique name does; a VM also as `SLICE/VM`. `id:7` and `#7`
  (in quotes: a shell takes `#` for a comment) are the id 7 and nothing else, and so is `7` with `--id`; `name:7` is the
  thing called `7`, and `name:` goes before any other name that would be read so (`name:#1`). Digits alone are either:
  when there is a thing of that id and another of that name, or two of one name, nothing is done, and the error shows
  each with its id, owner and state. Commands that take something away say what digits alone were taken for.
- **Waiting**: what takes longer is watched to its end; `--no-wait` returns at once with the operation.
- **Lists** show the first 60 characters of an error; `show` and `--json` show all of it.
- **Programs**: with `--json` stdout holds exactly one JSON document (`events` and `console --vnc`: one per line), and
  an error is one problem document (RFC 9457: `code`, `detail`, `problems`) on stderr. Nobody is asked back.
- **Repeats**: creations carry an `Idempotency-Key`. They and all reading requests are repeated a few times when the
  connection breaks; so is everything when no connection came about.
- **Completion**: `parcela --install-completion`.

## Exit codes

| code | meaning |
|---|---|
"""
CONSOLE = """
In a script, `console` types and waits. The echo of what was typed does not count for `--until`, and neither does what
was printed before, unless nothing is typed:

```sh
parcela console client --command 'ping -c 1 10.0.2.2' --until ' 0% packet loss' --timeout 20
echo hostname | parcela console client --until '^client'
parcela console client --until 'PARCELA READY' --timeout 120 < /dev/null
```
"""


def page() -> str:
    """The whole page."""
    codes = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    return f"{HEAD}{codes}\n\n## Commands\n\n" + "\n".join(_commands(get_command(app), "parcela")).rstrip() + "\n"


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, found in group.commands.items():
        command = found.load() if isinstance(found, LazyCommand) else found
        if isinstance(command, TyperGroup):
            yield f"### `{path} {name}`\n\n{_text(command.help)}\n"
            yield from _commands(command, f"{path} {name}")
        else:
            yield from _command(command, f"{path} {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    usage = "".join(f" {_name(param)}" if param.required else f" [{_name(param)}]" for param in arguments)
    yield f"#### `{path}{usage}`\n\n{_text(command.help)}\n"
    rows = [_row(param) for param in command.params if param.name not in {"as_json", "help"}]
    if rows:
        yield "| argument or option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
    if path == "parcela console":
        yield CONSOLE.lstrip()


def _row(param: Any) -> str:
    text = _text(param.help).replace("|", "\\|")
    if param.param_type_name == "argument":
        return f"| `{_name(param)}` | {text} |"
    names = "/".join([", ".join(f"`{name}`" for name in param.opts), *(f"`{name}`" for name in param.secondary_opts)])
    if not param.is_flag and param.default not in {None, ""} and not param.multiple:
        text += f" Default: `{getattr(param.default, 'value', param.default)}`."
    return f"| {names}{' (needed)' if param.required else ''} | {text} |"


def _name(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _text(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    sys.stdout.write(page())
