"""Errors as clients of ``vms`` read them: ``code``, ``message`` and the ``field`` that is wrong."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from parcela.api.compat.negotiation import SharedRoute
from parcela.api.errors import TITLES, ErrorAnswer, ProblemDetails

FIELDS: Mapping[str, str] = {
    "full_name": "name",
    "role": "rol",
    "image": "os",
    "vcpus": "cores",
    "memory_mib": "ram",
    "disk_gib": "disk",
}
"""Fields of ours by what they are called here."""


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


def _answer(problem: ProblemDetails, headers: Mapping[str, str] | None) -> JSONResponse:
    errors = [FieldError(field=_field(item.where), message=item.what, code=item.code) for item in problem.problems]
    body = VmsError(
        code=problem.code,
        message=problem.detail,
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
