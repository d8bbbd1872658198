"""Files that commands read and write; ``-`` is stdin or stdout."""

import codecs
import sys
from pathlib import Path

from parcela.cli.exits import CliError, Exit, fail

MAX_TEXT_BYTES = 16 * 1024 * 1024
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # begins like UTF-16's
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def _unreadable(path: Path, reason: object) -> CliError:
    return fail(Exit.USAGE, "file_unreadable", f"{path} cannot be read: {reason}")


def read_text(path: Path) -> str:
    """Content of a text file.

    Raises:
        CliError: exit code USAGE.
    """
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or error) from error
    if len(raw) > MAX_TEXT_BYTES:
        raise _unreadable(path, f"it is larger than {MAX_TEXT_BYTES // 1024**2} MiB")
    return _decode(path, raw)


def _decode(path: Path, raw: bytes) -> str:
    """UTF-8, with or without the mark that Windows programs put before it; CR LF becomes LF."""
    for mark, name in _OTHER_ENCODINGS:
        if raw.startswith(mark):
            raise _unreadable(path, f"it is text in {name}; save it as UTF-8")
    if b"\0" in raw[:1024]:
        raise _unreadable(path, "it is no text, or text in UTF-16; save it as UTF-8")
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"line {line} is no UTF-8 text; save the file as UTF-8") from error
    return text.replace("\r\n", "\n")


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
