"""Two people on one console: both see it, the newest types, and each is told in their language."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.server import Server
from tests.browser.tab import Tab

Tabs = Callable[..., Tab]


def type_line(page: Page, text: str) -> None:
    page.locator("textarea.xterm-helper-textarea").focus()
    page.keyboard.type(text)
    page.keyboard.press("Enter")


@pytest.mark.parametrize(("locale", "other"), [("en", "es"), ("es", "en")])
def test_the_newest_types_on_a_serial_console(tab: Tabs, server: Server, locale: str, other: str) -> None:
    first, second = tab(locale), tab(other)
    name = server.user(locale)
    first.sign_in(name)
    first.launch()
    first.page.locator("a[id^=console-]").first.click()
    status, screen = first.page.locator("#console-status"), first.page.locator(".xterm-rows")
    expect(status).to_have_text(first.t("console.connected.serial"))
    expect(screen).to_contain_text("PARCELA READY")

    newest = server.user(other, role="admin")
    second.sign_in(newest)
    second.page.goto(first.page.url)
    expect(second.page.locator("#console-status")).to_have_text(second.t("console.connected.serial"))
    expect(status).to_have_text(first.t("console.watching", name=newest))
    type_line(first.page, "echo nothing of mine")
    type_line(second.page, "echo seen by both")
    expect(screen).to_contain_text("seen by both")
    expect(second.page.locator(".xterm-rows")).to_contain_text("seen by both")
    expect(screen).not_to_contain_text("nothing of mine")

    second.page.goto("/")
    expect(status).to_have_text(first.t("console.yours"))
    type_line(first.page, "echo mine again")
    expect(screen).to_contain_text("mine again")


@pytest.mark.parametrize("locale", ["en", "es"])
def test_a_screen_is_told_who_types_too(tab: Tabs, server: Server, locale: str) -> None:
    first, second = tab(locale), tab(locale)
    first.sign_in(server.user(locale))
    first.launch()
    first.page.locator("a[id^=console-]").first.click()
    first.page.get_by_role("link", name=first.t("console.kind.vnc")).click()
    status = first.page.locator("#console-status")
    expect(status).to_have_text(first.t("console.connected.vnc"))
    newest = server.user(locale, role="admin")
    second.sign_in(newest)
    second.page.goto(first.page.url)
    expect(second.page.locator("#console-status")).to_have_text(second.t("console.connected.vnc"))
    expect(status).to_have_text(first.t("console.watching", name=newest))
    expect(first.page.locator("#console canvas")).to_be_visible()
    second.page.goto("/")
    expect(status).to_have_text(first.t("console.yours"))
