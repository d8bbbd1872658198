"""``Idempotency-Key`` on creations.

Use it in a router like this; without the header, ``replay`` gives None and ``keep`` only builds the answer. An answer
of before is for somebody who may still ask for it and see what came of it: ``replay`` takes both questions, so that no
route can leave them out::

    @router.post("/", status_code=201, response_model=FlavourRead, responses=problem_responses(401, 403, 409, 422))
    async def create_flavour(
        body: FlavourCreate, services: AppServices, caller: CurrentCaller, uow: WriteUow, idem: Idempotent
    ) -> Response:
        if replay := await idem.replay(partial(caller.require, Permission.CATALOGUE_WRITE)):
            return replay
        row = await services.flavours.create(uow, caller, **body.model_dump())
        return await idem.keep(201, FlavourRead.model_validate(row), f"/api/v1/flavours/{row.id}")

``keep`` must come last: it writes into the same unit of work, so that the thing and the kept answer are committed
together. Never use it on routes whose answer holds a secret (a new token, say): answers are stored as they are.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.uow import WriteUow, get_services
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.idempotency import KeptAnswer, request_hash

REPLAYED_HEADER = "Idempotency-Replayed"
IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=128,
        pattern=r"^[\x20-\x7e]+$",
        description="Any text of 1 to 128 printable characters. The same request with the same key within a day gives "
        "the first answer again (with `Idempotency-Replayed: true`) and creates nothing. Large answers are not kept: "
        "then it is the thing as it is now, or 409 `idempotency_answer_not_kept`.",
    ),
]


Right = Callable[[], Awaitable[object] | None]
"""Raises when the caller may not ask for this creation now."""
Sight = Callable[[Mapping[str, Any]], Awaitable[object]]
"""Takes the body of a kept answer; raises ``not_found`` when the caller does not see the thing any more.

A model that it returns is the thing as it is now: it answers the replay when the first answer was too large to be kept.
"""


class IdempotencyBase:
    """One key of one request; ``fingerprint`` says what the request asks for."""

    def __init__(self, services: Services, caller: Caller, key: str | None) -> None:
        """Take the key, or None when the client gave none."""
        self._service = services.idempotency
        self._caller = caller
        self._key = key

    async def find(self, uow: ReadUnitOfWork, fingerprint: str, may: Right, sees: Sight | None) -> Response | None:
        """The kept answer, ready to be returned, or None; rights first."""
        if self._key is None:
            return None
        waited = may()
        if waited is not None:
            await waited
        kept = await self._service.find(uow, self._caller, self._key, fingerprint)
        if kept is None:
            return None
        current = await _seen(sees, kept.body) if sees is not None else None
        shown = current.model_dump(mode="json") if isinstance(current, BaseModel) else None
        return _answer(replace(kept, body=kept.replayed_as(shown)), {REPLAYED_HEADER: "true"})

    async def store(self, uow: UnitOfWork, fingerprint: str, answer: KeptAnswer) -> Response:
        """Keep an answer in a unit of work and build it."""
        if self._key is not None:
            await self._service.keep(uow, self._caller, self._key, fingerprint, answer)
        return _answer(answer, {})


class Idempotency(IdempotencyBase):
    """The key of a request whose body is in memory, in the unit of work of its endpoint."""

    def __init__(
        self, request: Request, services: Services, caller: Caller, uow: UnitOfWork, idempotency_key: str | None
    ) -> None:
        """Take the header and the unit of work of the endpoint."""
        super().__init__(services, caller, idempotency_key)
        self._request = request
        self._uow = uow

    async def replay(self, may: Right, sees: Sight | None = None) -> Response | None:
        """The answer this very request already got, or None: then go on and create.

        Args:
            may: what the creation asks of the caller, asked again.
            sees: a read of the thing by the caller; None where whoever may make one sees all of them.

        Raises:
            ParcelaError: of ``may`` and ``sees``; kind ``conflict``, code ``idempotency_key_reused``, when the key came
                with another request, or ``idempotency_answer_not_kept``, when the answer was too large to be kept and
                ``sees`` gives no model.
        """
        return await self.find(self._uow, await self._fingerprint(), may, sees)

    async def keep(self, status: int, model: BaseModel, location: str | None = None) -> Response:
        """Build the answer to a creation, and keep it when the client gave a key."""
        answer = KeptAnswer(status, location, model.model_dump(mode="json"))
        return await self.store(self._uow, await self._fingerprint(), answer)

    async def _fingerprint(self) -> str:
        request = self._request
        query = request.scope.get("query_string", b"")
        return request_hash(request.method, request.url.path, query, await request.body())


class StreamedIdempotency(IdempotencyBase):
    """The key of a request whose body is streamed: its length and the query stand for the body."""

    def __init__(self, request: Request, services: Services, caller: Caller, idempotency_key: str | None) -> None:
        """Take the header."""
        super().__init__(services, caller, idempotency_key)
        query = request.scope.get("query_string", b"")
        length = request.headers.get("content-length", "").encode()
        self._fingerprint = request_hash(request.method, request.url.path, query, length)

    async def replay(self, uow: ReadUnitOfWork, may: Right, sees: Sight | None = None) -> Response | None:
        """As ``Idempotency.replay``, in any unit of work."""
        return await self.find(uow, self._fingerprint, may, sees)

    async def keep(self, uow: UnitOfWork, status: int, model: BaseModel, location: str | None = None) -> Response:
        """As ``Idempotency.keep``, in the unit of work that makes the answer true."""
        return await self.store(uow, self._fingerprint, KeptAnswer(status, location, model.model_dump(mode="json")))


async def _idempotency(
    request: Request, caller: CurrentCaller, uow: WriteUow, idempotency_key: IdempotencyKeyHeader = None
) -> Idempotency:
    """Read the header.

    The caller stands before the unit of work: FastAPI resolves in this order, and looking up a token while this
    request already held SQLite's only writer would wait for itself.
    """
    return Idempotency(request, await get_services(request), caller, uow, idempotency_key)


async def _streamed_idempotency(
    request: Request, caller: CurrentCaller, idempotency_key: IdempotencyKeyHeader = None
) -> StreamedIdempotency:
    return StreamedIdempotency(request, await get_services(request), caller, idempotency_key)


Idempotent = Annotated[Idempotency, Depends(_idempotency)]
StreamedIdempotent = Annotated[StreamedIdempotency, Depends(_streamed_idempotency)]


async def _seen(sees: Sight, body: Mapping[str, Any]) -> object:
    try:
        return await sees(body)
    except ParcelaError as error:
        # Reading may need a scope that making does not (``catalogue:read`` for images); being gone counts.
        if error.kind is not ErrorKind.FORBIDDEN:
            raise
        return None


def _answer(kept: KeptAnswer, headers: dict[str, str]) -> Response:
    if kept.location is not None:
        headers["Location"] = kept.location
    return JSONResponse(kept.body, status_code=kept.status, headers=headers)
