"""Files that commands read and write; ``-`` is stdin or stdout."""

import sys
from pathlib import Path

from parcela.cli.exits import CliError, Exit, fail

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
