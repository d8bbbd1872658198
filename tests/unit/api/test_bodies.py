"""Repeated keys, and bodies that are too large, in small applications."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request

from parcela.api.dependencies.bodies import refuse_repeated_keys
from parcela.api.errors import install_error_handlers
from parcela.api.middleware.request_context import BodyLimit

pytestmark = pytest.mark.anyio
LIMIT = 1000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def http(anyio_backend: str) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI(dependencies=[Depends(refuse_repeated_keys)])
    install_error_handlers(app)
    app.add_middleware(BodyLimit, max_body_bytes=LIMIT)

    @app.post("/json")
    async def take_json(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @app.post("/file", max_body_size=10 * LIMIT)
    async def take_file(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
        yield client


async def _chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (b'{"a": 1, "a": 2}', ["body.a"]),
        (b'{"x": {"a": 1, "a": 1}}', ["body.a"]),
        (b'{"x": [{"b": 1, "b": 2, "a": 1, "a": 1}]}', ["body.a", "body.b"]),
        (b'{"a": 1, "\\u0061": 2}', ["body.a"]),
        (b'{"\\ud800": 1, "\\ud800": 2}', ["body.?"]),
        (b"{" + b'"k": 1,' * 100 + b'"k": 1}', ["body.k"]),
    ],
)
async def test_a_key_twice(http: httpx2.AsyncClient, body: bytes, keys: list[str]) -> None:
    answer = await http.post("/json", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "duplicate_key"
    assert [problem["where"] for problem in answer.json()["problems"]] == keys


async def test_the_same_key_in_two_objects(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/json", json={"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})).status_code == 200


async def test_a_file_is_not_read_as_json(http: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await http.post("/file", content=b'{"a": 1, "a": 2}', headers=headers)).json() == 16


@pytest.mark.parametrize(("path", "size"), [("/json", LIMIT + 100), ("/file", 10 * LIMIT + 100)])
@pytest.mark.parametrize("announced", [True, False])
async def test_too_large(http: httpx2.AsyncClient, path: str, size: int, *, announced: bool) -> None:
    content = b"x" * size if announced else _chunks(size // 100)
    answer = await http.post(path, content=content)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "body_too_large"


async def test_a_route_may_take_more(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/file", content=_chunks(50))).json() == 5000
    assert (await http.post("/file", content=b"x" * 5000)).json() == 5000
