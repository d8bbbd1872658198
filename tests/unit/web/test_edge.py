"""The edge without services: error pages, static files, and what happens when nothing was built."""

import json
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
import structlog
from fastapi import FastAPI

from parcela.api.app import include_api
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.web import app as web_app
from parcela.web.app import include_web
from parcela.web.assets import Assets, ImmutableFiles
from parcela.web.routes import web_router

pytestmark = pytest.mark.anyio
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": "en"}
NOTHING = SimpleNamespace(single_sign_on=SimpleNamespace(label=""), password_resets=SimpleNamespace(available=False))
"""No provider, no mails; nothing here gets as far as asking for more."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    include_api(app)
    include_web(app)
    app.state.services = NOTHING
    router = web_router()

    @router.get("/crash")
    async def crash() -> None:
        raise ZeroDivisionError("<secret>")

    @router.get("/full")
    async def full() -> None:
        raise ParcelaError(ErrorKind.NO_CAPACITY, "no_capacity", "No host has <b>room</b>.", internal="<secret>")

    app.include_router(router)
    return app


async def get(app: FastAPI, path: str, **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
        return await http.get(path, headers=BROWSER | headers)


async def test_a_crash_is_a_page_without_secrets(app: FastAPI) -> None:
    with structlog.testing.capture_logs():  # its traceback is of no interest
        answer = await get(app, "/crash")
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")
    assert "Our mistake" in answer.text
    assert "secret" not in answer.text


async def test_an_error_has_the_status_of_the_api_and_words_for_people(app: FastAPI) -> None:
    answer = await get(app, "/full", **{"Accept-Language": "es"})
    assert answer.status_code == 507
    assert "No queda sitio" in answer.text
    assert "No host has &lt;b&gt;room&lt;/b&gt;." in answer.text
    assert "secret" not in answer.text
    assert 'lang="es"' in answer.text


async def test_htmx_gets_the_message_where_messages_stand(app: FastAPI) -> None:
    answer = await get(app, "/full", **{"HX-Request": "true"})
    assert answer.headers["hx-retarget"] == "#messages"
    assert "<html" not in answer.text


async def test_an_unknown_address_is_a_page(app: FastAPI) -> None:
    answer = await get(app, "/nothing")
    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.text


async def test_programs_still_get_problem_details(app: FastAPI) -> None:
    for path, accept in (("/api/v1/nothing", BROWSER["Accept"]), ("/nothing", "*/*"), ("/full", "application/json")):
        answer = await get(app, path, Accept=accept)
        assert answer.headers["content-type"] == "application/problem+json", path


async def test_pages_have_a_strict_policy(app: FastAPI) -> None:
    answer = await get(app, "/login")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert " style=" not in answer.text
    assert "<style" not in answer.text
    assert " onclick" not in answer.text


def test_no_template_holds_inline_code() -> None:
    for path in (Path(web_app.__file__).parent / "templates").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for word in (
            " style=",
            "<style",
            " onclick",
            " onload",
            "hx-on",
            "javascript:",
            "| safe",
            "http://",
            "https://",
        ):
            assert word not in text, f"{path.name}: {word}"
        assert "<script>" not in text, path.name


async def test_built_files_may_be_kept_for_ever(tmp_path: Path) -> None:
    (tmp_path / "app-HASH.js").write_text("//")
    app = FastAPI()
    app.mount("/static", ImmutableFiles(directory=tmp_path))
    assert (await get(app, "/static/app-HASH.js")).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "cache-control" not in (await get(app, "/static/app-OLD.js")).headers
    assert (await get(app, "/static/../app.py")).status_code == 404


def test_names_become_addresses_with_hashes(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"app.js": "app-HASH.js"}))
    assets = Assets(tmp_path)
    assert assets.built
    assert assets.url("app.js") == "/static/app-HASH.js"


async def test_without_built_files_pages_go_without_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_app, "Assets", lambda: Assets(tmp_path / "missing"))
    app = FastAPI()
    include_api(app)
    with structlog.testing.capture_logs() as lines:
        include_web(app)
    app.state.services = NOTHING
    assert [line["event"] for line in lines] == ["web.no_assets"]
    answer = await get(app, "/login")
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert '<input id="password"' in answer.text
    assert (await get(app, "/static/app.js")).status_code == 404
