"""What is said before the command: ``parcela --url ... --json COMMAND``."""

from dataclasses import dataclass


@dataclass
class Root:
    """Options of the root, shared with all commands of one run."""

    url: str | None = None
    as_json: bool = False
