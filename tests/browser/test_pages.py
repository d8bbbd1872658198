"""Every page in both languages, schemes and widths: words, structure, contrast; and what works without scripts."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.server import Server
from tests.browser.tab import Tab

Tabs = Callable[..., Tab]
CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("svg, .visually-hidden, .skip, .xterm")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.tagName} ${element.textContent.trim().slice(0, 40)}`);
  }
  return poor;
}"""
STRUCTURE = """() => {
  const wrong = [];
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  const twice = ids.filter((id, index) => ids.indexOf(id) !== index);
  if (twice.length) wrong.push(`ids twice: ${twice}`);
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!field.labels?.length && !field.ariaLabel) wrong.push(`no label: ${field.outerHTML.slice(0, 80)}`);
  for (const part of document.querySelectorAll("a, button"))
    if (!part.textContent.trim() && !part.ariaLabel) wrong.push(`no name: ${part.outerHTML.slice(0, 80)}`);
  // Whoever is there with the keyboard stays there when news replace the part: by the id.
  for (const part of document.querySelectorAll("#live :is(a[href], button, summary, select, input:not([type=hidden]))"))
    if (!part.id) wrong.push(`no id: ${part.outerHTML.slice(0, 80)}`);
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window");
  return wrong;
}"""


def check(page: Page, locale: str) -> None:
    """What is true of every page."""
    expect(page.locator("html")).to_have_attribute("lang", locale)
    assert page.evaluate(STRUCTURE) == []
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize(
    ("locale", "scheme", "width"),
    [("en", "light", 1280), ("es", "dark", 1280), ("es", "light", 360), ("en", "dark", 360)],
)
def test_every_page(tab: Tabs, server: Server, locale: str, scheme: str, width: int) -> None:
    student = tab(locale, color_scheme=scheme, viewport={"width": width, "height": 800})
    student.expected = {404}
    page, t = student.page, student.t
    page.goto("/login")
    expect(page.get_by_role("heading", level=1)).to_have_text(t("login.title"))
    check(page, locale)
    student.sign_in(server.user(locale))
    expect(page.get_by_role("heading", level=1)).to_have_text(t("home.title"))
    check(page, locale)
    path = student.launch()
    check(page, locale)
    page.get_by_text(t("slice.help.title")).click()
    check(page, locale)
    vm = page.locator("a[id^=console-]").first.get_attribute("href")
    visits = {
        "/": t("home.title"),
        "/templates/1": "First lab",
        f"{path}/confirm/reset": t("confirm.slice.reset.title", name="First lab"),
        f"{path}/confirm/destroy": t("confirm.slice.destroy.title", name="First lab"),
        f"{str(vm).removesuffix('/console')}/confirm/reset": t("confirm.vm.reset.title", name="client"),
        f"{vm}": "client",
        f"{vm}?kind=vnc": "client",
        "/slices/999999": t("error.title.404"),
        "/slices/abc": t("error.title.404"),
        "/no-such-page": t("error.title.404"),
    }
    for address, heading in visits.items():
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        check(page, locale)


def test_the_account_and_the_browser_choose_the_language(tab: Tabs, server: Server) -> None:
    student = tab("en")
    page = student.page
    page.goto("/login")
    page.get_by_role("link", name="Español").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Iniciar sesión")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    other = tab("en")
    other.sign_in(server.user("es"))
    expect(other.page.get_by_role("heading", level=1)).to_have_text("Mis parcelas")


def test_a_wrong_password_and_too_many_of_them(tab: Tabs, server: Server) -> None:
    student = tab("es")
    student.expected = {401, 429}
    page, t = student.page, student.t
    name = server.user()
    for _ in range(5):
        student.sign_in(name, "wrong")
        # The problem of the attempt before is the same; its page has what was typed, and a new one has not.
        expect(page.get_by_label(t("login.password"))).to_have_value("")
        expect(page.locator("#login-problem")).to_have_text(t("error.bad_credentials"))
        check(page, "es")
    student.sign_in(name)
    expect(page.locator("#login-problem")).to_have_text(
        re.compile("Demasiados intentos fallidos.* espera [0-9]+ segundos")
    )
    expect(page.get_by_label(t("login.identifier"))).to_have_value(name)


def test_a_stranger_sees_that_there_is_nothing(tab: Tabs, server: Server) -> None:
    owner, stranger = tab(), tab()
    stranger.expected = {404}
    owner.sign_in(server.user())
    path = owner.launch()
    console = owner.page.locator("a[id^=console-]").first.get_attribute("href")
    stranger.sign_in(server.user())
    for address in (path, f"{path}/confirm/destroy", str(console)):
        stranger.page.goto(address)
        expect(stranger.page.get_by_role("heading", level=1)).to_have_text("Not found")


def test_login_leads_back_but_never_elsewhere(tab: Tabs, server: Server) -> None:
    student = tab()
    page = student.page
    page.goto("/templates/1")
    student.sign_in(server.user())
    expect(page).to_have_url(re.compile("/templates/1$"))
    page.context.clear_cookies()
    page.goto("/login?next=//evil.example/")
    student.sign_in(server.user())
    expect(page).to_have_url(f"{server.url}/")


def test_a_session_renews_itself(tab: Tabs, server: Server) -> None:
    student = tab()
    page = student.page
    student.sign_in(server.user())
    path = student.launch()
    page.goto("about:blank")
    page.context.clear_cookies(name="parcela_session")
    student.expected = {401}
    # With a page that was open all the time: the write is not lost in silence. Had it asked for news before the write,
    # that would have renewed the session.
    with student.without_news():
        page.goto(path)
        expect(page).to_have_url(re.compile(path))
        page.context.clear_cookies(name="parcela_session")
        page.locator("#do-stop").click()
        expect(page.get_by_text(student.t("notice.renewed"))).to_be_visible()
    page.locator("#do-stop").click()
    student.expect_state("stopped")


def test_the_keyboard_reaches_everything(tab: Tabs, server: Server) -> None:
    student = tab()
    page = student.page
    student.sign_in(server.user())
    path = student.launch()
    page.reload()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name=student.t("nav.skip"))).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#do-reboot")).to_be_focused()
    # The page changes under the focus, which stays with the button of the same name.
    page.locator("#console-1, [id^=console-]").first.focus()
    with server.admin() as api:
        assert api.post(f"/api/v1{path}/reboot").status_code == 202
    expect(page.get_by_text("Last: Rebooting the machines")).to_be_visible()
    expect(page.locator("[id^=console-]").first).to_be_focused()


def test_everything_but_consoles_works_without_scripts(tab: Tabs, server: Server) -> None:
    student = tab(java_script_enabled=False)
    page = student.page
    student.sign_in(server.user())
    student.press("action.launch")
    student.expect_state("running")  # the page reloads itself while something is under way
    page.locator("a[id^=console-]").first.click()
    # Playwright leaves <noscript> out when it looks for text.
    expect(page.locator("noscript p")).to_be_visible()
    page.get_by_role("link", name=student.t("console.back")).click()
    page.locator("#do-stop").click()
    student.expect_state("stopped")
    student.press("action.destroy")
    student.press("confirm.slice.destroy.do")
    student.expect_state("destroyed")


def test_a_full_lab_says_so(tab: Tabs, server: Server) -> None:
    student = tab()
    student.expected = {507}
    vms = [{"name": f"vm{n}", "image": "tiny", "vcpus": 128, "memory_mib": 1048576, "disk_gib": 1} for n in range(2)]
    number = server.template("Too big", {"vms": vms})
    student.sign_in(server.user())
    expect(student.page.get_by_role("heading", level=1)).to_have_text(student.t("home.title"))
    student.page.goto(f"/templates/{number}")
    student.page.locator("#launch").click()
    expect(student.page.get_by_role("heading", level=1)).to_have_text("No room left")
    student.press("error.back")
    expect(student.page).to_have_url(re.compile(f"/templates/{number}$"))
