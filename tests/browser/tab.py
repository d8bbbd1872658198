"""A browser tab that remembers every complaint, and knows the words of its language."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from parcela.web.i18n.catalogue import Translator, load_translators
from tests.browser.server import PASSWORD

REGIONS = {"en": "en-US", "es": "es-PE"}
PATIENCE_MS = 120_000
"""How long what should happen may take on a machine that is busy with other tests."""
STATUS = re.compile(r"(?:status of|Status Error Code) (\d{3})")


@dataclass
class Tab:
    """One page; ``expected`` are HTTP statuses that a test causes on purpose (reported as errors)."""

    page: Page
    t: Translator
    expected: set[int] = field(default_factory=set)
    heard: list[str] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        """Console errors and warnings, uncaught exceptions and CSP violations that nobody expected."""
        return [text for text in self.heard if not (m := STATUS.search(text)) or int(m[1]) not in self.expected]

    def listen(self) -> None:
        """Begin to remember."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.heard.append(f"uncaught: {error}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.heard.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    @contextmanager
    def without_news(self) -> Iterator[None]:
        """The page stays as it is loaded in here: whenever it asks for a new copy, there is none."""

        def answer(route: Route) -> None:
            if route.request.method == "GET" and "hx-request" in route.request.headers:
                route.fulfill(status=204)
            else:
                route.fallback()

        self.page.route("**/*", answer)
        try:
            yield
        finally:
            self.page.unroute("**/*", answer)

    def sign_in(self, username: str, password: str = PASSWORD) -> None:
        """Fill the form in, from wherever we are."""
        if "/login" not in self.page.url:
            self.page.goto("/login")
        self.page.get_by_label(self.t("login.identifier")).fill(username)
        self.page.get_by_label(self.t("login.password")).fill(password)
        self.page.get_by_role("button", name=self.t("login.submit"), exact=True).click()

    def launch(self) -> str:
        """Launch the sample from the first page and wait until it runs; the path of the slice."""
        self.page.goto("/")
        self.page.get_by_role("button", name=f"{self.t('action.launch')} First lab").click()
        self.page.wait_for_url(re.compile(r"/slices/\d+$"))
        self.expect_state("running")
        return self.page.url[self.page.url.index("/slices/") :]

    def expect_state(self, state: str) -> None:
        """Wait until the page of a slice shows a state."""
        badge = self.page.locator(".title .badge")
        expect(badge).to_have_text(self.t(f"slice.state.{state}"))

    def press(self, key: str, **options: str) -> None:
        """Press a button or link with the text of a key."""
        name = re.compile(re.escape(self.t(key)))
        button = self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name))
        button.first.click(**options)  # type: ignore[arg-type]


def open_tab(browser: Browser, url: str, locale: str, **options: object) -> Tab:
    """A tab of its own, with its own cookies."""
    # Colours that are on their way to others have neither's contrast.
    settings = {"base_url": url, "locale": REGIONS[locale], "reduced_motion": "reduce", **options}
    context = browser.new_context(**settings)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    tab = Tab(context.new_page(), load_translators()[locale])
    tab.listen()
    return tab
