"""What the OpenAPI document says about every route, in one place: problems, the limit of requests, ways to log in."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from parcela.api.errors import ProblemDetails, problem_responses
from parcela.api.rate_limits import FREE_PATHS

METHODS = frozenset({"get", "put", "post", "patch", "delete"})
BEARER, PASSWORD_FLOW = "HTTPBearer", "OAuth2PasswordBearer"
SCHEMES: dict[str, Any] = {
    PASSWORD_FLOW: {
        "type": "oauth2",
        "description": "Username or e-mail address and password, as a form; gives a token of a session",
        "flows": {"password": {"tokenUrl": "/api/v1/login", "scopes": {}}},
    }
}


def complete(app: FastAPI) -> None:
    """Add to the document what routes do not say themselves. FastAPI keeps what it made, so this happens once."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        parts = document.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        if "ProblemDetails" not in schemas:
            schema = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas["ProblemDetails"] = schema
            parts.setdefault("securitySchemes", {}).update(SCHEMES)
            for path, operation in _operations(document):
                _complete_operation(path, operation)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document.get("paths", {}).items():
        for method in METHODS & item.keys():
            yield path, item[method]


def _complete_operation(path: str, operation: dict[str, Any]) -> None:
    if path not in FREE_PATHS:  # families whose errors have another form say so themselves
        operation["responses"].setdefault("429", problem_responses(429)[429])
    ways = operation.get("security", [])
    if {BEARER: []} in ways and {PASSWORD_FLOW: []} not in ways:
        ways.append({PASSWORD_FLOW: []})
