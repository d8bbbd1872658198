"""ETags: the hash of the bytes of the answer."""

import hashlib
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Header
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from parcela.core.errors import ErrorKind, ParcelaError

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def etag_of(body: bytes) -> str:
    """ETag of an answer's bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names the tag (weak marks are ignored, ``*`` fits all)."""
    return matches_strongly(",".join(tag.strip().removeprefix("W/") for tag in header.split(",")), etag)


def matches_strongly(header: str, etag: str) -> bool:
    """Whether an If-Match header names the tag: weak ones name nothing (RFC 9110, 13.1.1), ``*`` fits all.

    All tags that we send are strong, compressed answers included.
    """
    tags = {tag.strip() for tag in header.split(",")}
    return "*" in tags or etag in tags


class IfMatch:
    """Precondition of a write: the client names the version it has seen.

    An endpoint never checks it, but hands it on (``of``): a service calls it once it has locked the row. Compared any
    earlier, two writers that have seen the same version would both go through.
    """

    def __init__(self, if_match: str | None) -> None:
        """Take the header; without it every write goes."""
        self._header = if_match

    def of(self, read: Callable[..., BaseModel]) -> Callable[..., None]:
        """The check for a service, which gives it the locked row.

        Args:
            read: makes the answer to a GET of the row, whose bytes have the ETag.

        Returns:
            A function that raises ``precondition_failed`` when the row is no longer the version that was seen.
        """
        return lambda *row: None if self._header is None else self.check(read(*row))

    def check(self, current: BaseModel) -> None:
        """Raise ``precondition_failed`` when the resource (its read schema) is no longer the version that was seen.

        Not for endpoints: see above.
        """
        if self._header is None:
            return
        if not matches_strongly(self._header, etag_of(current.model_dump_json().encode())):
            raise ParcelaError(
                ErrorKind.PRECONDITION_FAILED,
                "changed_meanwhile",
                "It was changed since you read it; read it again and repeat the change.",
            )


async def refuse_unversioned(connection: HTTPConnection) -> None:
    """Refuse a write that is bound to a version (``If-Match``, other than ``*``) where a route has no versions.

    Carried out without a comparison, it would overwrite what the client has not seen.

    Raises:
        ParcelaError: kind ``precondition_failed``, code ``no_versions``.
    """
    header = connection.headers.get("if-match")
    if header is None or connection.scope.get("method", "GET") in SAFE or matches_strongly(header, "*"):
        return
    route = connection.scope.get("route")
    if isinstance(route, APIRoute) and not _is_conditional(route.dependant):
        text = "There are no versions of this that If-Match could name; repeat the request without it."
        raise ParcelaError(ErrorKind.PRECONDITION_FAILED, "no_versions", text)


def _is_conditional(dependant: Dependant) -> bool:
    return dependant.call is _if_match or any(map(_is_conditional, dependant.dependencies))


async def _if_match(if_match: Annotated[str | None, Header(max_length=500)] = None) -> IfMatch:
    return IfMatch(if_match)


Precondition = Annotated[IfMatch, Depends(_if_match)]
