"""Lists of the older APIs: whole arrays, which their clients expect, over our pages."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Query, Response

from parcela.repositories.paging import MAX_CURSOR_CHARS, MAX_LIMIT, Page, PageRequest

MOST = 1000
"""Rows of one answer; what lies beyond is read with the cursor in ``X-Next-Cursor``."""
NEXT_CURSOR = "X-Next-Cursor"
Limit = Annotated[int, Query(ge=1, le=MOST, description="Rows of the answer at most")]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS, description="`X-Next-Cursor` of the answer before")]


async def whole(
    read: Callable[[PageRequest], Awaitable[Page]], response: Response, limit: int, cursor: str | None
) -> Sequence[Mapping[str, Any]]:
    """Rows of as many pages as it takes, oldest first; the header says where the rest begins, if there is one."""
    rows: list[Mapping[str, Any]] = []
    while len(rows) < limit:
        page = await read(PageRequest(limit=min(MAX_LIMIT, limit - len(rows)), cursor=cursor))
        rows += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return rows
    if cursor is not None:
        response.headers[NEXT_CURSOR] = cursor
    return rows
