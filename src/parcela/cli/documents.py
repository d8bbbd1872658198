"""JSON and YAML documents in files; apart from plain files, because a server needs no YAML."""

import json
from pathlib import Path
from typing import Any

import yaml

from parcela.cli.exits import Exit, fail
from parcela.cli.files import read_text
from parcela.cli.yaml_text import YamlTextError, read_yaml
from parcela.core.json_text import JsonTextError, read_json

YAML_ENDINGS = frozenset({".yaml", ".yml"})


def read_document(path: Path) -> Any:
    """A JSON or YAML document (YAML unless the name says ``.json``: every JSON document is YAML, too).

    Raises:
        CliError: exit code USAGE when it cannot be read, INVALID when it is malformed or ambiguous.
    """
    text = read_text(path)
    kind = "JSON" if path.suffix == ".json" else "YAML"
    try:
        return read_json(text) if kind == "JSON" else read_yaml(text)
    except (JsonTextError, YamlTextError) as error:
        raise fail(Exit.INVALID, "file_malformed", f"{path} cannot be read as {kind}: {error}") from error


def dump_text(document: object, path: Path | None) -> str:
    """A document as text: YAML when the file's name says so, else JSON."""
    if path is not None and path.suffix in YAML_ENDINGS:
        return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
