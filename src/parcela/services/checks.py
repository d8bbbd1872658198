"""Checks of a client's own: what a request says about the version it has seen (``If-Match``)."""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Mapping[str, Any]], None]
"""Gets a row once it is locked, as a reader sees it; raises when the client has seen another version."""


def unchecked(_row: Mapping[str, Any]) -> None:
    """The client has said nothing."""
