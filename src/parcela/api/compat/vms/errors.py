"""Errors as clients of ``vms`` read them: ``code``, ``message`` and the ``field`` that is wrong."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from parcela.api.compat.negotiation import SharedRoute
from parcela.api.errors import TITLES, ErrorAnswer, ProblemDetails, ProblemItem

FIELDS: Mapping[str, str] = {
    "full_name": "name",
    "label": "name",
    "role": "rol",
    "image": "os",
    "vcpus": "cores",
    "memory_mib": "ram",
    "disk_gib": "disk",
}
"""Fields of ours by what they are called here."""
SIZES: Mapping[str, str] = {
    "cores": "cores is a whole number from 1 to 128.",
    "ram": "ram is a whole number of MB from 64 to 1048576.",
    "disk": "disk is a whole number of GB from 1 to 16384.",
}
"""What is said of a size that is no number within the bounds; other rules say themselves what they allow."""
WRONG_SHAPE = "request_invalid"
GENERAL = frozenset({WRONG_SHAPE, "template_invalid"})
"""Codes whose sentence only points at the places that are wrong."""


class FieldError(BaseModel):
    """One value that is wrong."""

    field: str = Field(examples=["email"])
    message: str = Field(examples=["This e-mail address is already in use."])
    code: str = Field(examples=["email_taken"])


class VmsError(BaseModel):
    """Body of every error of these routes."""

    code: str = Field(description="The stable `code` of the canonical API", examples=["email_taken"])
    message: str = Field(examples=["This e-mail address is already in use."])
    field: str | None = Field(description="The first field that is wrong, if it is one", examples=["email"])
    request_id: str = Field(description="Also in the log", examples=["0f3c..."])
    errors: list[FieldError] = Field(default_factory=list)


def _field(where: str) -> str:
    """The last word of a place: ``body.email`` and ``vms[0].image`` are ``email`` and ``os`` here."""
    name = where.rpartition(".")[2]
    return FIELDS.get(name, name)


def _sentence(item: ProblemItem, code: str) -> str:
    """What is wrong at one place of an error, with its field: clients show nothing else."""
    field = _field(item.where)
    if field in SIZES and code == WRONG_SHAPE:
        return SIZES[field]
    return item.what if field in item.what else f"{field}: {item.what}"


def _first(problem: ProblemDetails) -> str:
    """The first concrete reason, which is all that the pages show."""
    items = problem.problems
    general = bool(items) and (problem.code in GENERAL or problem.detail == items[0].what)
    return _sentence(items[0], problem.code) if general else problem.detail


def _answer(problem: ProblemDetails, headers: Mapping[str, str] | None) -> JSONResponse:
    errors = [
        FieldError(field=_field(item.where), message=_sentence(item, problem.code), code=item.code)
        for item in problem.problems
    ]
    body = VmsError(
        code=problem.code,
        message=_first(problem),
        field=errors[0].field if errors else None,
        request_id=problem.instance,
        errors=errors,
    )
    return JSONResponse(body.model_dump(), status_code=problem.status, headers=headers)


FAMILY: Mapping[str, ErrorAnswer] = dict.fromkeys(("/login", "/users", "/vms"), _answer)
"""Addresses whose errors are of this family where no route has seen the request. Browsers still get pages."""


class VmsRoute(APIRoute):
    """A route whose errors are of this family."""

    error_answer = staticmethod(_answer)


class SharedVmsRoute(SharedRoute):
    """The same, for an address that a page has too."""

    error_answer = staticmethod(_answer)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route: its documented errors."""
    return {status: {"description": TITLES[status], "model": VmsError} for status in sorted(statuses)}
