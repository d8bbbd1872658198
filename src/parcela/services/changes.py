"""Changes of rows, and whether there was one: a write that changes nothing leaves no event and no audit entry."""

from collections.abc import Mapping
from typing import Any


def assign(row: Any, values: Mapping[str, Any]) -> bool:
    """Set columns of a row; whether any of them differed.

    Args:
        row: of any table.
        values: by name of the column.
    """
    changed = False
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
            changed = True
    return changed
