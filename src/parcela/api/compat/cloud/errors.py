"""Errors as clients of ``cloud`` read them: ``detail`` is all that their pages show, so the first reason stands there.

The body is a problem document as everywhere; ``problems`` still has every reason.
"""

from collections.abc import Mapping

from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from parcela.api.compat.negotiation import SharedRoute
from parcela.api.errors import MEDIA_TYPE, TITLES, ProblemDetails

STATUSES: Mapping[str, int] = {"email_taken": 400, "template_invalid": 400}
"""Statuses that clients expect where the canonical API has another one."""


def _answer(problem: ProblemDetails, headers: Mapping[str, str] | None) -> JSONResponse:
    status = STATUSES.get(problem.code, problem.status)
    detail = problem.detail
    if problem.problems and problem.problems[0].what != detail:
        first = problem.problems[0]
        detail = f"{first.where}: {first.what}" if first.where else first.what
    told = {"status": status, "title": TITLES.get(status, problem.title), "detail": detail}
    body = problem.model_copy(update=told).model_dump()
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


class CloudRoute(APIRoute):
    """A route whose errors are of this family."""

    error_answer = staticmethod(_answer)


class SharedCloudRoute(SharedRoute):
    """The same, for an address that a page has too."""

    error_answer = staticmethod(_answer)
