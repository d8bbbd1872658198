"""Errors as clients of ``vm_api`` read them: the first concrete reason in ``detail``, as a text."""

from collections.abc import Mapping

from fastapi.responses import JSONResponse

from parcela.api.errors import ProblemDetails

TAKEN = frozenset({"email_taken", "username_taken"})
"""What the original answered with 400."""


def answer(problem: ProblemDetails, headers: Mapping[str, str] | None) -> JSONResponse:
    """The problem document, with the status of the original and a ``detail`` that says what to do."""
    told = dict(headers or {})
    if problem.status == 401:
        told["WWW-Authenticate"] = "Bearer"
    status = 400 if problem.code in TAKEN else problem.status
    body = problem.model_copy(update={"status": status, "detail": _reason(problem)})
    return JSONResponse(body.model_dump(), status_code=status, headers=told)


def _reason(problem: ProblemDetails) -> str:
    """What is wrong first, with the name of the field where the sentence does not say it."""
    if problem.code != "request_invalid" or not problem.problems:
        return problem.detail
    first = problem.problems[0]
    return f"{first.where.rpartition('.')[2]}: {first.what}"
