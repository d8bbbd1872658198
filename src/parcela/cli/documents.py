"""JSON and YAML documents in files; apart from plain files, because a server needs no YAML."""

import json
from pathlib import Path
from typing import Any

import yaml

from parcela.cli.exits import Exit, fail
from parcela.cli.files import read_text

YAML_ENDINGS = frozenset({".yaml", ".yml"})


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
