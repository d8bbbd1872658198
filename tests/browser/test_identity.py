"""Signing in with a second step, single sign-on and forgotten passwords, in a real browser."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.server import PASSWORD, Server, running_server
from tests.browser.tab import Tab, open_tab
from tests.browser.test_pages import check
from tests.support.mailbox import Mailbox, mail_server
from tests.support.provider import Provider, running_provider

NEW = "a new and longer one"


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox, provider: Provider) -> Iterator[Server]:
    """A server with mails and a provider, instead of the one that the other pages share."""
    settings = {
        "PARCELA_SMTP_HOST": "127.0.0.1",
        "PARCELA_SMTP_PORT": mailbox.port,
        "PARCELA_SMTP_SECURITY": "none",
        "PARCELA_PUBLIC_URL": "http://lab.example",
        "PARCELA_OIDC_ISSUER": provider.issuer,
        "PARCELA_OIDC_CLIENT_ID": "parcela",
        "PARCELA_OIDC_CLIENT_SECRET": "any, for this provider",
    }
    with running_server(tmp_path_factory.mktemp("identity"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def joining(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Server]:
    """A server that says its own address to the provider, as no other is known, and takes whoever comes from there."""
    settings = {
        "PARCELA_OIDC_ISSUER": provider.issuer,
        "PARCELA_OIDC_CLIENT_ID": "parcela",
        "PARCELA_OIDC_CLIENT_SECRET": "any, for this provider",
        "PARCELA_OIDC_AUTO_CREATE": True,
        "PARCELA_OIDC_LABEL": "Lab ID",
    }
    with running_server(tmp_path_factory.mktemp("joining"), **settings) as running:
        yield running


@pytest.fixture
def tab(chromium: Browser, server: Server) -> Iterator[Callable[..., Tab]]:
    """As that of the package, on our server."""
    tabs: list[Tab] = []

    def open_one(locale: str = "en", **options: object) -> Tab:
        tabs.append(open_tab(chromium, server.url, locale, **options))
        return tabs[-1]

    yield open_one
    complaints = [complaint for one in tabs for complaint in one.complaints]
    for one in tabs:
        one.page.context.close()
    assert complaints == []


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Page, str], None]:
    """Keeps a picture of a page in the folder of the test."""

    def take(page: Page, name: str) -> None:
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)

    return take


Picture = Callable[[Page, str], None]
Tabs = Callable[..., Tab]


def heading(student: Tab, key: str) -> None:
    expect(student.page.get_by_role("heading", level=1)).to_have_text(student.t(key))


def enrol(student: Tab) -> None:
    student.page.locator("#enrol-password").fill(PASSWORD)
    student.page.get_by_role("button", name=student.t("security.enrol")).click()


def give_code(student: Tab, code: str) -> None:
    student.page.get_by_label(student.t("login.code.label")).fill(code)
    student.page.get_by_role("button", name=student.t("login.submit")).click()


def wrong_code(totp: pyotp.TOTP, now: datetime) -> str:
    """One that is not by chance a right one."""
    right = {totp.at(now, counter_offset=step) for step in (-1, 0, 1)}
    return next(code for code in ("000000", "111111", "222222", "333333") if code not in right)


@pytest.mark.parametrize(
    ("locale", "scheme", "width"), [("en", "light", 1280), ("es", "dark", 360)], ids=["english", "spanish"]
)
def test_a_second_factor_from_its_beginning_to_its_end(
    tab: Tabs, server: Server, picture: Picture, locale: str, scheme: str, width: int
) -> None:
    student = tab(locale, color_scheme=scheme, viewport={"width": width, "height": 800})
    student.expected = {401, 422}
    page, t, name = student.page, student.t, server.user(locale)
    student.sign_in(name)
    page.get_by_role("link", name=name).click()
    heading(student, "security.title")
    check(page, locale)
    picture(page, "security-off")
    enrol(student)
    heading(student, "security.enrol.title")
    check(page, locale)
    picture(page, "enrol")
    assert page.get_by_role("img", name=t("security.enrol.qr")).evaluate("image => image.naturalWidth") > 100
    totp = pyotp.TOTP(page.locator("#secret").inner_text())
    page.get_by_label(t("security.enrol.code")).fill("wrong!")
    page.get_by_role("button", name=t("security.enrol.do")).click()
    expect(page.locator("#form-problem")).to_have_text(t("error.bad_code"))
    assert page.locator("#secret").inner_text() == totp.secret
    # A code from the step before may be typed, but not one that has meanwhile become two steps old.
    with server.clock.stopped() as now:
        page.get_by_label(t("security.enrol.code")).fill(totp.at(now, counter_offset=-1))
        page.get_by_role("button", name=t("security.enrol.do")).click()
        heading(student, "security.codes.title")
    check(page, locale)
    picture(page, "codes")
    codes = page.locator(".codes code").all_inner_texts()
    assert len(codes) == 10
    page.get_by_role("button", name=t("security.codes.kept")).click()
    expect(page.get_by_text(t.n("security.codes_left", 10))).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    check(page, locale)
    picture(page, "security-on")
    student.press("nav.sign_out")
    student.sign_in(name)
    heading(student, "login.code.title")
    check(page, locale)
    with server.clock.stopped() as now:
        give_code(student, wrong_code(totp, now))
        expect(page.locator("#login-problem")).to_have_text(t("error.bad_code"))
    check(page, locale)
    picture(page, "code")
    give_code(student, codes[0])
    heading(student, "home.title")
    page.goto("/account/security")
    expect(page.get_by_text(t.n("security.codes_left", 9))).to_be_visible()
    page.get_by_text(t("security.disable")).click()
    page.locator("#disable-password").fill(PASSWORD)
    page.locator("#disable-code").fill(codes[1])
    page.get_by_role("button", name=t("security.disable.do"), exact=True).click()
    expect(page.get_by_text(t("notice.totp_disabled"))).to_be_visible()


def test_the_second_step_leads_back_and_cannot_be_skipped(tab: Tabs, server: Server) -> None:
    student = tab()
    page, t, name = student.page, student.t, server.user()
    student.sign_in(name)
    page.goto("/account/security")
    enrol(student)
    totp = pyotp.TOTP(page.locator("#secret").inner_text())
    with server.clock.stopped() as now:
        page.get_by_label(t("security.enrol.code")).fill(totp.at(now))
        page.get_by_role("button", name=t("security.enrol.do")).click()
        code = page.locator(".codes code").first.inner_text()
    page.context.clear_cookies()
    page.goto("/templates/1")
    student.sign_in(name)
    heading(student, "login.code.title")
    page.goto("/")
    heading(student, "login.title")
    page.goto("/login/code?next=/templates/1")
    give_code(student, code)
    expect(page).to_have_url(re.compile("/templates/1$"))


def test_single_sign_on_there_and_back(tab: Tabs, joining: Server, provider: Provider, picture: Picture) -> None:
    provider.know("ana", email="ana@class.example", email_verified=True, preferred_username="ana")
    student = tab(base_url=joining.url)
    page, t = student.page, student.t
    # The provider's page wants a style sheet from far away, and would wait for it where names are not found soon.
    page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(content_type="text/css", body=""))
    page.goto("/templates/1")
    check(page, "en")
    picture(page, "login")
    page.get_by_role("button", name=t("login.provider", name="Lab ID")).click()
    page.get_by_placeholder("sub").fill("ana")
    page.get_by_role("button", name="Authorize").click()
    expect(page).to_have_url(re.compile("/templates/1$"))
    student.heard.clear()  # the provider's page wants a style sheet from far away
    page.goto("/account/security")
    expect(page.get_by_role("button", name=t("security.enrol"))).to_be_visible()
    expect(page.locator("input[type=password]")).to_have_count(0)
    check(page, "en")
    picture(page, "account")


def test_who_says_no_at_the_provider_can_still_use_a_password(tab: Tabs, server: Server) -> None:
    student = tab("es")
    student.expected = {401}
    page, t, name = student.page, student.t, server.user("es")
    page.goto("/auth/oidc/callback?state=forged&code=forged")
    expect(page.locator("#login-problem")).to_have_text(t("error.oidc_state"))
    check(page, "es")
    student.sign_in(name)
    heading(student, "home.title")


def test_a_forgotten_password(tab: Tabs, server: Server, mailbox: Mailbox, picture: Picture) -> None:
    student = tab("es")
    student.expected = {422, 410}
    page, t, name = student.page, student.t, server.user("es")
    page.goto("/login")
    page.get_by_role("link", name=t("login.forgot")).click()
    heading(student, "forgot.title")
    check(page, "es")
    page.get_by_label(t("login.identifier")).fill(name)
    page.get_by_role("button", name=t("forgot.submit")).click()
    expect(page.get_by_text(t("forgot.done"))).to_be_visible()
    check(page, "es")
    found = re.search(r"/password/reset\S+", mailbox.wait_for(f"{name}@class.example"))
    assert found
    link = found[0]
    page.goto(link)
    expect(page).to_have_url(re.compile("/password/reset$"))
    heading(student, "reset.title")
    check(page, "es")
    for password, again, problem in (
        (NEW, "other", "passwords_differ"),
        ("password1", "password1", "password_common"),
        (name + "2031", name + "2031", "password_is_name"),
    ):
        page.get_by_label(t("reset.password")).fill(password)
        page.get_by_label(t("reset.again")).fill(again)
        page.get_by_role("button", name=t("reset.submit")).click()
        expect(page.locator("#form-problem")).to_have_text(t(f"error.{problem}"))
    picture(page, "reset")
    keep = page.get_by_label(t("reset.keep_tokens"))
    expect(keep).not_to_be_checked()
    keep.check()
    page.get_by_label(t("reset.password")).fill(NEW)
    page.get_by_label(t("reset.again")).fill("other")
    page.get_by_role("button", name=t("reset.submit")).click()
    expect(keep).to_be_checked()  # the choice outlives a mistake
    keep.uncheck()
    page.get_by_label(t("reset.password")).fill(NEW)
    page.get_by_label(t("reset.again")).fill(NEW)
    page.get_by_role("button", name=t("reset.submit")).click()
    expect(page.get_by_text(t("notice.password_changed"))).to_be_visible()
    student.sign_in(name, NEW)
    heading(student, "home.title")
    page.goto(link)
    expect(page.get_by_text(t("error.reset_token_invalid"))).to_be_visible()


def test_sessions_are_seen_and_ended(tab: Tabs, server: Server) -> None:
    here, there = tab(), tab()
    name = server.user()
    for one in (here, there):
        one.sign_in(name)
        heading(one, "home.title")
    there.page.goto("about:blank")  # the page would ask for news itself, and be sent to the login page
    here.page.goto("/account/security")
    expect(here.page.locator(".sessions li")).to_have_count(2)
    check(here.page, "en")
    here.page.get_by_role("button", name=here.t("security.session.end"), exact=True).click()
    expect(here.page.get_by_text(here.t("notice.sessions_ended"))).to_be_visible()
    expect(here.page.locator(".sessions li")).to_have_count(1)
    there.page.goto("/")
    heading(there, "login.title")
