"""Files that commands read and write; ``-`` is stdin or stdout."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from parcela.cli.exits import CliError, Exit, fail

YAML_ENDINGS = frozenset({".yaml", ".yml"})
MAX_TEXT_BYTES = 16 * 1024 * 1024


def _unreadable(path: Path, reason: object) -> CliError:
    return fail(Exit.USAGE, "file_unreadable", f"{path} cannot be read: {reason}")


def read_text(path: Path) -> str:
    """Content of a text file.

    Raises:
        CliError: exit code USAGE.
    """
    try:
        if str(path) == "-":
            return sys.stdin.read(MAX_TEXT_BYTES)
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise _unreadable(path, "it is too large")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(path, error.strerror or error) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is no UTF-8 text") from error


def read_document(path: Path) -> Any:
    """A JSON or YAML document (YAML unless the name says ``.json``: every JSON document is YAML, too).

    Raises:
        CliError: exit code USAGE when it cannot be read, INVALID when it is neither.
    """
    text = read_text(path)
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise fail(Exit.INVALID, "file_malformed", f"{path} is neither JSON nor YAML: {reason}") from error


def dump_text(document: object, path: Path | None) -> str:
    """A document as text: YAML when the file's name says so, else JSON."""
    if path is not None and path.suffix in YAML_ENDINGS:
        return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        CliError: exit code USAGE.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise unwritable(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        CliError: exit code USAGE.
    """
    write_bytes(path, text.encode())


def unwritable(path: Path, error: OSError) -> CliError:
    """The error for a file that cannot be written."""
    return fail(Exit.USAGE, "file_unwritable", f"{path} cannot be written: {error.strerror or error}")
