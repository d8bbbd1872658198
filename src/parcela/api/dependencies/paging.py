"""Query parameters of lists."""

from typing import Annotated

from fastapi import Depends, Query

from parcela.repositories.paging import DEFAULT_LIMIT, MAX_CURSOR_CHARS, MAX_LIMIT, PageRequest


async def _page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows per page")] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None,
        Query(max_length=MAX_CURSOR_CHARS, description="`next_cursor` of the page before; leave it out for the first"),
    ] = None,
    sort: Annotated[
        str, Query(max_length=40, pattern="^-?[a-z_]+$", description="Field to sort by; '-' in front for descending")
    ] = "id",
) -> PageRequest:
    return PageRequest(limit=limit, cursor=cursor, sort=sort)


Paging = Annotated[PageRequest, Depends(_page_request)]
