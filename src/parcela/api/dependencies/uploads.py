"""Files that come as the body of a request: received in full before any unit of work is opened."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from parcela.api.dependencies.uow import AppServices
from parcela.core.errors import Problem, invalid
from parcela.services.inventory.files import ReceivedFile

UNLIMITED: Final = 2**63 - 1
"""The limit of the application for bodies does not count for these routes; the service has its own."""


def file_body(description: str) -> dict[str, Any]:
    """``openapi_extra`` of a route whose body is a file."""
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "description": description, "content": content}}


async def _received(request: Request, services: AppServices) -> AsyncIterator[ReceivedFile]:
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        text = "Send the file itself as the body (curl -X POST -T - URL < FILE), not a form."
        raise invalid("upload_is_form", text, Problem("header.Content-Type", text, "upload_is_form"))
    async with services.inventory.attachments.receive(_chunks(request)) as received:
        yield received


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        # Nobody reads this answer; it keeps a broken connection from looking like a crash in the log.
        raise invalid("upload_incomplete", "The connection ended before the whole file had come.") from error


# Stands after the caller and before the unit of work in a signature: strangers send nothing, and on SQLite the writer
# is not held while bytes arrive.
Upload = Annotated[ReceivedFile, Depends(_received, scope="function")]
