"""Errors as pages for people; programs still get problem details.

The handlers of the JSON edge stay in place and decide the status, so that there is one table of those. Where a person
waits for the answer, a page with the same status is written instead.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from parcela.core.disks import storage_error
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.access import Caller
from parcela.web.i18n.catalogue import Translator
from parcela.web.rendering import NOTICE_COOKIE, Renderer, wants_fragment
from parcela.web.routes import WebRoute
from parcela.web.session import LOGIN_PATH, local_path
from parcela.web.site import who

Handler = Callable[[Request, Exception], Awaitable[Response]]
READING = frozenset({"GET", "HEAD"})


def words_of(t: Translator, error: ParcelaError) -> str:
    """An error in the reader's language: by its code, else by its kind."""
    seconds = error.retry_after_s or 1
    return t.either(f"error.{error.code}", f"error.kind.{error.kind.value}", seconds=seconds)


def is_for_people(request: Request) -> bool:
    """Whether somebody waits for a page: never under ``/api``, and never for what scripts fetch as data."""
    accept = request.headers.get("accept", "")
    if isinstance(request.scope.get("route"), WebRoute):
        return "application/json" not in accept and "text/event-stream" not in accept
    return not request.url.path.startswith("/api/") and ("text/html" in accept or "hx-request" in request.headers)


class ErrorPages:
    """Wraps the handlers that were there before."""

    def __init__(self, renderer: Renderer, handlers: Mapping[Any, Any]) -> None:
        """Take the templates and the handlers of the JSON edge."""
        self._renderer = renderer
        self._before: dict[type[Exception], Handler] = dict(handlers)

    async def status_of(self, request: Request, error: Exception) -> int:
        """The status the JSON edge gives an error."""
        return (await self._problem(request, error)).status_code

    async def handle(self, request: Request, error: Exception) -> Response:
        """The handler of all errors."""
        if isinstance(error, OSError):
            error = storage_error(error) or error
        problem = await self._problem(request, error)
        if not is_for_people(request):
            return problem
        if isinstance(error, ParcelaError) and error.kind is ErrorKind.UNAUTHENTICATED:
            return to_login(request)
        status = problem.status_code
        if isinstance(error, RequestValidationError) and request.method in READING:
            status = 404  # /slices/abc: an address that nothing lives at
        # After a crash nothing that could crash again is asked; the page works without knowing the reader.
        caller = await _who(request) if status < 500 else None
        return self._page(request, caller, status, error, problem.headers.get("Retry-After"))

    async def _problem(self, request: Request, error: Exception) -> Response:
        kind = next(kind for kind in type(error).__mro__ if kind in self._before)
        return await self._before[kind](request, error)

    def _page(
        self, request: Request, caller: Caller | None, status: int, error: Exception, retry_after: str | None
    ) -> Response:
        t = self._renderer.translator(request, caller)
        known = error if isinstance(error, ParcelaError) else None
        headers = {"Retry-After": retry_after} if retry_after else {}
        if wants_fragment(request):
            # Whatever was asked for, what went wrong belongs where messages stand.
            headers |= {"HX-Retarget": "#messages", "HX-Reswap": "innerHTML"}
        return self._renderer.answer(
            request,
            caller,
            "error.html",
            fragment="problem.html",
            status=status,
            headers=headers,
            title=t.either(f"error.title.{status}", "error.title.other"),
            words=words_of(t, known) if known else t.either(f"error.status.{status}", "error.status.other"),
            details=_details(error) if known or status != 404 else [],
            request_id=str(request.scope.get("request_id", "")) if status >= 500 else "",
            back=_page_before(request) if request.method not in READING else "/",
        )


def _details(error: Exception) -> list[str]:
    """What was wrong, in the words of the API; of a form, field by field."""
    if isinstance(error, ParcelaError):
        return list(dict.fromkeys([error.message, *(problem.what for problem in error.problems)]))
    if isinstance(error, RequestValidationError):
        return [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors() if one["loc"]]
    return []


async def _who(request: Request) -> Caller | None:
    with suppress(ParcelaError):
        return await who(request)
    return None


def to_login(request: Request) -> Response:
    """Send somebody without a session to the login page, and afterwards back to where they were.

    A write is not repeated: they come back to its page, which tells them to do it again.
    """
    if wants_fragment(request):
        page = urlsplit(request.headers.get("hx-current-url", ""))
        target = local_path(page.path + ("?" + page.query if page.query else ""))
        response = Response(status_code=401, headers={"HX-Redirect": _login_url(target)})
    elif request.method in READING:
        query = request.url.query
        target = local_path(request.url.path + ("?" + query if query else ""))
        response = RedirectResponse(_login_url(target), status_code=303)
    else:
        response = RedirectResponse(_login_url(_page_before(request)), status_code=303)
    if request.method not in READING:
        response.set_cookie(NOTICE_COOKIE, "renewed", max_age=600, httponly=True, samesite="lax")
    return response


def _login_url(target: str) -> str:
    return LOGIN_PATH if target == "/" else f"{LOGIN_PATH}?next={quote(target)}"


def _page_before(request: Request) -> str:
    """The page of ours a form was on."""
    before = urlsplit(request.headers.get("referer", ""))
    return local_path(before.path) if before.netloc == request.headers.get("host") else "/"


def install_error_pages(app: FastAPI, renderer: Renderer) -> ErrorPages:
    """Put ourselves before the handlers of the JSON edge."""
    kinds = (ParcelaError, RequestValidationError, StarletteHTTPException, OSError, Exception)
    pages = ErrorPages(renderer, {kind: app.exception_handlers[kind] for kind in kinds})
    for kind in kinds:
        app.add_exception_handler(kind, pages.handle)
    return pages
