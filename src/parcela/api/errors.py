"""The one table error kind -> HTTP status, and the handlers that write problem details (RFC 9457)."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Scope

from parcela.api.websockets.auth import refuse
from parcela.core.disks import is_storage_trouble, storage_error
from parcela.core.errors import ErrorKind, ParcelaError, invalid
from parcela.core.origin import current_origin

log = structlog.get_logger(__name__)

STATUS: Mapping[ErrorKind, int] = {
    ErrorKind.INVALID: 422,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.GONE: 410,
    ErrorKind.PRECONDITION_FAILED: 412,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNSUPPORTED: 501,
    ErrorKind.RATE_LIMITED: 429,
    ErrorKind.NO_CAPACITY: 507,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.INTERNAL: 500,
}
TITLES: Mapping[int, str] = {
    400: "Bad request",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Wrong media type",
    422: "Invalid",
    429: "Too many requests",
    500: "Internal error",
    501: "Not supported here",
    503: "Unavailable",
    507: "No capacity",
}
MEDIA_TYPE = "application/problem+json"


class ProblemItem(BaseModel):
    """One thing that is wrong."""

    where: str = Field(description="Path of the value", examples=["vms[2].disk_gib"])
    what: str = Field(description="What is wrong and what is allowed")
    code: str = Field(examples=["unknown_flavour"])


class ProblemDetails(BaseModel):
    """Body of every error (RFC 9457); ``code`` is stable."""

    type: str = Field(examples=["urn:parcela:problem:slice_not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no slice 7."])
    code: str = Field(examples=["slice_not_found"])
    instance: str = Field(description="Id of the request, also in the log", examples=["0f3c..."])
    problems: list[ProblemItem] = Field(default_factory=list)


ErrorAnswer = Callable[[ProblemDetails, Mapping[str, str] | None], JSONResponse]
"""How a family of older routes writes errors: a static method ``error_answer`` of its class of routes."""
ERROR_ANSWER = "parcela.error_answer"
"""Key of the scope: the ``ErrorAnswer`` of a request that its route alone does not tell the family of."""
ErrorFamilies = Mapping[str, ErrorAnswer]
"""The same by the beginning of an address (``app.state.error_families``), for errors that no route has seen."""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route: its documented errors."""
    return {
        status: {
            "description": TITLES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in sorted(statuses)
    }


def problem_response(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    problems: list[ProblemItem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Write one problem document, or what the clients of this address know instead (``error_answer``)."""
    body = ProblemDetails(
        type=f"urn:parcela:problem:{code}",
        title=TITLES.get(status, "Error"),
        status=status,
        detail=detail,
        code=code,
        instance=str(request.scope.get("request_id", "")),
        problems=problems or [],
    )
    answer = _answer_of_family(request)
    if answer is not None:
        return answer(body, headers)
    return JSONResponse(body.model_dump(), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def _answer_of_family(request: Request) -> ErrorAnswer | None:
    """The way of the route; before there is one (the limit of requests, 404), that of its neighbours."""
    if ERROR_ANSWER in request.scope:
        chosen: ErrorAnswer = request.scope[ERROR_ANSWER]
        return chosen
    route, path = request.scope.get("route"), request.scope["path"]
    if route is not None:
        found: ErrorAnswer | None = getattr(route, "error_answer", None)
        return found
    families: ErrorFamilies = getattr(request.app.state, "error_families", {})
    return next((way for start, way in families.items() if f"{path}/".startswith(f"{start}/")), None)


async def answer_to(scope: Scope, error: Exception) -> Response:
    """What the application answers to an error outside of its routes: problem document, older shape or page."""
    handlers = scope["app"].exception_handlers
    handler = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
    answer: Response = await handler(Request(scope), error)
    return answer


async def _on_refusal(connection: Request | WebSocket, exc: ParcelaError) -> JSONResponse | None:
    if isinstance(connection, WebSocket):  # a dependency has refused the handshake; nothing was accepted yet
        await refuse(connection, exc)
        return None
    return await _on_parcela_error(connection, exc)


async def _on_parcela_error(request: Request, exc: ParcelaError) -> JSONResponse:
    status = STATUS[exc.kind]
    if (origin := current_origin()) is not None:
        origin.refusal_code = exc.code
    if not is_storage_trouble(exc) and (exc.internal or status >= 500):  # those are logged once, not per request
        log.warning("request.error", code=exc.code, status=status, internal=exc.internal)
    headers: dict[str, str] = {}
    if exc.retry_after_s is not None:
        headers["Retry-After"] = str(exc.retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="parcela"'
    items = [ProblemItem(where=p.where, what=p.what, code=p.code) for p in exc.problems]
    return problem_response(request, status, exc.code, exc.message, problems=items, headers=headers)


def _problem_item(error: Mapping[str, Any], body: Any) -> ProblemItem:
    if error["type"] == "json_invalid" and isinstance(body, str):
        at = json.JSONDecodeError(str(error["ctx"]["error"]), body, int(error["loc"][-1]))
        return ProblemItem(where="body", what=f"line {at.lineno}, column {at.colno}: {at.msg}.", code="json_invalid")
    where = ".".join(str(part) for part in error["loc"])
    return ProblemItem(where=where, what=str(error["msg"]), code=str(error["type"]))


def _unreadable(cause: BaseException | None) -> str:
    """What is wrong with a JSON body that has no place in its text; "" for anything else."""
    match cause:
        case UnicodeDecodeError():
            return f"The body is no UTF-8 text from byte {cause.start + 1} on."
        case RecursionError():
            return "Lists and objects stand too deep in each other."
        case ValueError():
            return "A number has too many digits."
    return ""


async def _on_validation_error(request: Request, exc: RequestValidationError) -> JSONResponse:
    items = [_problem_item(error, exc.body) for error in exc.errors()]
    detail = "The request has the wrong shape; see 'problems' for every place."
    return problem_response(request, 422, "request_invalid", detail, problems=items)


async def _on_socket_validation_error(socket: WebSocket, exc: WebSocketRequestValidationError) -> None:
    first = exc.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    await refuse(socket, invalid("request_invalid", f"{where}: {first['msg']}"))


async def _on_http_error(request: Request, exc: StarletteHTTPException) -> JSONResponse:
    codes = {
        400: "bad_request",
        404: "route_not_found",
        405: "method_not_allowed",
        413: "body_too_large",
        421: "unknown_host",
    }
    if exc.status_code == 400 and (what := _unreadable(exc.__cause__)):
        item = ProblemItem(where="body", what=what, code="json_invalid")
        return problem_response(request, 400, "bad_request", what, problems=[item])
    code = getattr(exc, "code", "") or codes.get(exc.status_code, f"http_{exc.status_code}")
    return problem_response(request, exc.status_code, code, str(exc.detail), headers=exc.headers)


async def _on_os_error(request: Request, exc: OSError) -> JSONResponse:
    """A file could not be written in an endpoint that has no sentence of its own for it."""
    trouble = storage_error(exc)
    if trouble is None:
        raise exc
    log.error("storage.cannot_write", code=trouble.code, reason=str(exc))
    return await _on_parcela_error(request, trouble)


def _for_pages_of_others(request: Request) -> dict[str, str]:
    """What CORS adds to an answer, for one that is written outside of it: pages would not even see its status."""
    services = getattr(request.app.state, "services", None)
    origin = request.headers.get("origin")
    if origin is None or services is None or not {origin, "*"} & set(services.settings.cors_origins):
        return {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


async def _on_unexpected(request: Request, exc: Exception) -> JSONResponse:
    # Outside of all middleware the request's origin is gone.
    log.error("request.crash", request_id=request.scope.get("request_id"), exc_info=exc)
    detail = "Something went wrong on our side; the log has the details under the request id in 'instance'."
    standing: Sequence[tuple[bytes, bytes]] = request.scope.get("standing_headers", ())
    headers = {name.decode(): value.decode("latin-1") for name, value in standing} | {"Cache-Control": "no-store"}
    headers |= _for_pages_of_others(request)
    return problem_response(request, 500, "internal_error", detail, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Attach the handlers."""
    handlers: dict[Any, Any] = {
        ParcelaError: _on_refusal,
        RequestValidationError: _on_validation_error,
        WebSocketRequestValidationError: _on_socket_validation_error,
        StarletteHTTPException: _on_http_error,
        OSError: _on_os_error,
        Exception: _on_unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
