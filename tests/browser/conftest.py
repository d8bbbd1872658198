"""Chromium, and a server to look at with it.

Both end with this package, not with the session: while Playwright runs, an event loop runs in the main thread, and
other tests want to run their own.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from parcela.web.assets import DIST
from tests.browser.server import Server, running_server
from tests.browser.tab import PATIENCE_MS, Tab, open_tab

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _missing(reason: str) -> None:
    """Skip; but where CI is set, a test that does not run is one that fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("PARCELA_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(path).exists():
        _missing(f"there is no Chromium at {path}; set PARCELA_TEST_CHROMIUM")
    if not (DIST / "manifest.json").exists():
        _missing("the front end is not built; run scripts/setup.sh test")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Browser, server: Server) -> Iterator[Callable[..., Tab]]:
    """Opens tabs; at the end, none of them may have anything to complain about."""
    tabs: list[Tab] = []

    def open_one(locale: str = "en", **options: object) -> Tab:
        tabs.append(open_tab(chromium, server.url, locale, **options))
        return tabs[-1]

    yield open_one
    complaints = [complaint for one in tabs for complaint in one.complaints]
    for one in tabs:
        one.page.context.close()
    assert complaints == []
