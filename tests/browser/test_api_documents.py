"""``/docs`` and ``/redoc`` in a real browser, which may ask no other host for anything."""

from collections.abc import Callable
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.browser.server import PASSWORD, TIMEOUT_S, Server
from tests.browser.tab import Tab


def asked_hosts(page: Page) -> set[str]:
    """Hosts of all requests from now on; filled while the page works."""
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc or request.url.split(":")[0]))
    return hosts


def test_swagger_ui_signs_in_and_asks_only_this_server(tab: Callable[..., Tab], server: Server) -> None:
    name = server.user()
    one = tab()
    page, hosts = one.page, asked_hosts(one.page)
    page.goto("/docs")
    page.locator(".btn.authorize").first.click()
    flow = page.locator(".auth-container").filter(has=page.locator("#oauth_username"))
    flow.locator("#oauth_username").fill(name)
    flow.locator("#oauth_password").fill(PASSWORD)
    flow.locator("button.authorize").click()
    expect(page.get_by_text("Logout", exact=True)).to_be_visible()
    page.locator(".btn-done").first.click()
    operation = page.locator("#operations-virtual_machines-list_vms_api_v1_virtual_machines__get")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    assert hosts - {"data", "blob"} == {urlsplit(server.url).netloc}


def test_redoc_shows_the_document_and_asks_only_this_server(tab: Callable[..., Tab], server: Server) -> None:
    one = tab()
    page, hosts = one.page, asked_hosts(one.page)
    page.goto("/redoc")
    expect(page.get_by_role("heading", name="Parcela (1)")).to_be_visible()
    expect(page.locator("h2", has_text="List VMs").first).to_be_visible()
    assert hosts - {"data", "blob"} == {urlsplit(server.url).netloc}
    # It guesses at examples of lists and says so.
    one.heard[:] = [text for text in one.heard if "OpenAPI Sampler" not in text]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
def test_only_scripts_of_ours_may_run(server: Server, path: str) -> None:
    answer = httpx2.get(server.url + path, timeout=TIMEOUT_S)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy.get("script-src", "'self'") == "'self'"
    assert "unsafe-eval" not in str(policy)
    assert "http" not in answer.text.replace(server.url, "")
    assert "<script>" not in answer.text


def test_built_files_are_served_as_the_build_compressed_them(server: Server) -> None:
    page = httpx2.get(f"{server.url}/docs", timeout=TIMEOUT_S).text
    script = page.split('src="', 1)[1].split('"', 1)[0]
    packed = httpx2.get(server.url + script, timeout=TIMEOUT_S)
    plain = httpx2.get(server.url + script, headers={"Accept-Encoding": "identity"}, timeout=TIMEOUT_S)
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 600_000
    assert packed.content == plain.content
    kinds = [answer.headers["content-type"].partition(";")[0] for answer in (packed, plain)]
    assert kinds == ["text/javascript"] * 2
    assert "immutable" in packed.headers["cache-control"]
