"""Which lists an event concerns. A *scope* is the owner a list is filtered by, or None for everybody's."""

from collections.abc import Sequence

from parcela.repositories.events import EventRecord

OWNED = frozenset({"vm", "slice", "operation"})
"""First words of events that concern the lists of their owner, and those that show everybody's things."""
UNSEEN = frozenset({"auth", "token", "template", "role", "console", "webhook", "machine", "maintenance"})
"""First words of events that change no cached list; whatever is neither here nor above concerns all of them."""


def scopes_of(records: Sequence[EventRecord]) -> frozenset[int | None] | None:
    """The scopes whose lists may have changed; None: all of them."""
    scopes: set[int | None] = set()
    for record in records:
        area = record.type.partition(".")[0]
        if area in UNSEEN:
            continue
        if area not in OWNED or record.owner_id is None:
            return None
        scopes |= {record.owner_id, None}
    return frozenset(scopes)
