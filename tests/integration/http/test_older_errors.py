"""Errors that no route of an older API has written: its clients read them in the shape of all its others."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from parcela.api.compat.siglab.errors import ErrorSiglab
from parcela.api.compat.vms.errors import VmsError
from parcela.api.errors import ProblemDetails
from tests.integration.http.lab import Lab, make_settings, open_lab

pytestmark = pytest.mark.anyio

BROWSER = {"Accept": "text/html"}
TOO_LONG: dict[str, Any] = {"content": b" " * 3_000_000, "headers": {"Content-Type": "application/json"}}
ADDRESSES: dict[str, tuple[type[BaseModel], str, str]] = {
    "siglab": (ErrorSiglab, "/api/maquinas", "/api/maquinas/agregar"),
    "vms": (VmsError, "/vms", "/vms/"),
    "vms users": (VmsError, "/users", "/users/"),
    "vms login": (VmsError, "/login", "/login"),
    "cloud": (ProblemDetails, "/templates", "/templates/guardar"),
    "canonical": (ProblemDetails, "/api/v1/machines", "/api/v1/machines/"),
}
"""Shape of the errors, beginning of the addresses, and one that takes a JSON body by POST."""
FAMILIES = pytest.mark.parametrize("family", ADDRESSES)


def check(answer: httpx2.Response, family: str, status: int, code: str) -> dict[str, Any]:
    """The body, which is an error of the family."""
    assert answer.status_code == status, answer.text
    shape = ADDRESSES[family][0]
    kind = "application/problem+json" if shape is ProblemDetails else "application/json"
    assert answer.headers["content-type"] == kind
    body: dict[str, Any] = answer.json()
    shape.model_validate(body)
    assert set(body) == set(shape.model_fields)
    assert body["codigo" if shape is ErrorSiglab else "code"] == code
    named = body[{ErrorSiglab: "peticion", VmsError: "request_id", ProblemDetails: "instance"}[shape]]
    assert named == answer.headers["X-Request-Id"]
    return body


@FAMILIES
async def test_an_address_that_is_not_there(lab: Lab, family: str) -> None:
    path = f"{ADDRESSES[family][1]}/nothing/lives/here"
    check(await lab.http.get(path), family, 404, "route_not_found")


@FAMILIES
async def test_a_method_that_is_not_there(lab: Lab, family: str) -> None:
    answer = await lab.http.patch(ADDRESSES[family][2])
    check(answer, family, 405, "method_not_allowed")
    assert answer.headers["Allow"]


@FAMILIES
async def test_a_body_that_is_too_long(lab: Lab, family: str) -> None:
    answer = await lab.http.post(ADDRESSES[family][2], **TOO_LONG)
    check(answer, family, 413, "body_too_large")
    assert "RateLimit-Remaining" in answer.headers


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(50):
        yield b" " * 65_536


@FAMILIES
async def test_a_body_that_turns_out_to_be_too_long(lab: Lab, family: str) -> None:
    # With a token: where one is needed, the body of a stranger is not read.
    headers = lab.people["admin"].headers | {"Content-Type": "application/json"}
    answer = await lab.http.post(ADDRESSES[family][2], content=_pieces(), headers=headers)
    check(answer, family, 413, "body_too_large")


@FAMILIES
@pytest.mark.parametrize("body", [b"{", b'{"a": 1, "a": 2}', b"[" * 5000, b"\xff"])
async def test_a_body_that_is_no_json(lab: Lab, family: str, body: bytes) -> None:
    headers = lab.people["admin"].headers | {"Content-Type": "application/json"}
    answer = await lab.http.post(ADDRESSES[family][2], content=body, headers=headers)
    assert answer.status_code in {400, 422}
    check(answer, family, answer.status_code, answer.json().get("code") or answer.json()["codigo"])


FORM = "multipart/form-data; boundary=x"
MEDIA_TYPES = [
    (family, kind)
    for family in ADDRESSES
    for kind in ("text/plain", "application/xml", FORM, "")
    if (family, kind) != ("vms login", FORM)  # a form is for the page of the same address
]


@pytest.mark.parametrize(("family", "kind"), MEDIA_TYPES)
async def test_a_body_of_another_media_type(lab: Lab, family: str, kind: str) -> None:
    headers = lab.people["admin"].headers | {"Content-Type": kind}
    answer = await lab.http.post(ADDRESSES[family][2], content=b"{}", headers=headers)
    check(answer, family, 422, "request_invalid")


@pytest.fixture(scope="module")
async def worn_out(schema: Path, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Lab]:
    """An installation in which strangers have used up this year's requests."""
    rates = {"PARCELA_RATE_LIMIT": "1000/year", "PARCELA_RATE_LIMIT_ANONYMOUS": "20/year"}
    async with open_lab(make_settings(tmp_path_factory.mktemp("worn"), schema, **rates)) as lab:
        for _ in range(20):
            await lab.http.get("/flavours")
        yield lab


@FAMILIES
async def test_too_many_requests(worn_out: Lab, family: str) -> None:
    answer = await worn_out.http.post(ADDRESSES[family][2], json={})
    body = check(answer, family, 429, "rate_limited")
    assert int(answer.headers["Retry-After"]) == int(answer.headers["RateLimit-Reset"]) >= 1
    assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == ("20", "0")
    if family == "siglab":
        assert body["detail"] == body["message"] == "Demasiadas peticiones; espere un momento."


async def test_browsers_get_a_page_that_says_to_wait(worn_out: Lab) -> None:
    for path in ("/login", "/templates/1", "/auth/logout", "/vms/1/console"):
        answer = await worn_out.http.get(path, headers=BROWSER)
        assert answer.status_code == 429
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert f"Too many requests. Try again in {answer.headers['Retry-After']} seconds." in answer.text
        assert answer.headers["RateLimit-Remaining"] == "0"
    fragment = await worn_out.http.post("/slices/1/start", headers={"HX-Request": "true"})
    assert fragment.status_code == 429
    assert fragment.headers["HX-Retarget"] == "#messages"
    assert "<html" not in fragment.text


async def test_a_form_that_is_too_long_is_refused_with_a_page(lab: Lab) -> None:
    form = BROWSER | {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await lab.http.post("/auth/login", content=b"a" * 3_000_000, headers=form)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_the_document_says_so(lab: Lab) -> None:
    paths = (await lab.http.get("/openapi.json")).json()["paths"]
    for path, method, schema in (
        ("/vms/", "get", "VmsError"),
        ("/users/", "post", "VmsError"),
        ("/api/maquinas/listar", "get", "ErrorSiglab"),
        ("/api/sistema/metrics", "get", "ErrorSiglab"),
        ("/slices", "get", "ProblemDetails"),
        ("/api/v1/slices/", "get", "ProblemDetails"),
    ):
        content = paths[path][method]["responses"]["429"]["content"]
        assert [one["schema"]["$ref"] for one in content.values()] == [f"#/components/schemas/{schema}"], path
