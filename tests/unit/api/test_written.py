"""Whatever a body says reaches the services in one form of Unicode."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ValidationError

from parcela.api.app import include_api
from parcela.api.schemas.common import Body, Written


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if get_origin(annotation) is not None:
        for part in get_args(annotation):
            yield from _models(part)
    elif inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation


def _parameters() -> Iterator[tuple[str, type[BaseModel]]]:
    app = FastAPI(openapi_url=None)
    include_api(app)
    for route in iter_route_contexts(app.routes):
        endpoint = getattr(route.original_route, "endpoint", None)
        for part in inspect.signature(endpoint).parameters.values() if endpoint else ():
            for model in _models(part.annotation):
                yield str(route.path), model


def test_every_body_is_composed() -> None:
    found = {model for _path, model in _parameters()}
    assert len(found) > 40
    assert {model.__name__ for model in found if not issubclass(model, Written)} == set()


def test_a_body_that_is_too_deep_is_refused() -> None:
    class Known(Body):
        fields: Any

    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ValidationError, match="too deep"):
        Known.model_validate({"fields": deep})


def test_passwords_are_what_was_typed() -> None:
    class Known(Body):
        name: str
        password: str
        new_password: str

    given = dict.fromkeys(Known.model_fields, "é")
    assert Known.model_validate(given).model_dump() == {**given, "name": "\u00e9"}
