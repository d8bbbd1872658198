"""What a person's browser meets at the addresses of the older pages of ``cloud``, on every kind of database."""

import struct
from collections.abc import Iterator

import httpx2
import pytest

from tests.compat.cloud_client import CloudBrowser
from tests.compat.support import PASSWORD, REQUEST_TIMEOUT_S, Server


@pytest.fixture
def browser(server: Server) -> Iterator[CloudBrowser]:
    made = CloudBrowser(server.url)
    yield made
    made.close()


def address(server: Server) -> str:
    return f"{server.unique('nube')}@class.example"


def way(answer: httpx2.Response) -> list[tuple[int, str]]:
    """The redirects behind a page, as status and where they led."""
    return [(hop.status_code, hop.headers["location"]) for hop in answer.history]


def test_a_person_registers_signs_in_looks_around_and_leaves(server: Server, browser: CloudBrowser) -> None:
    email = address(server)
    registered = browser.register("Ana Quispe", email, PASSWORD)
    assert way(registered) == [(303, "/login?registered=1")]
    assert "Your account is ready. Sign in." in registered.text
    home = browser.login(email, PASSWORD)
    assert [status for status, _ in way(home)] == [303, 303]
    assert way(home)[0][1] == "/home"
    assert (home.status_code, "<html" in home.text) == (200, True)
    left = browser.logout()
    assert way(left) == [(303, "/login")]
    assert "<form" in left.text
    assert browser.open("/home").url.path == "/login"


def test_a_wrong_login_tells_nothing_but_that(server: Server, browser: CloudBrowser) -> None:
    email = address(server)
    browser.register("Ana", email, PASSWORD)
    pages = [browser.login(email, "wrong"), browser.login(address(server), "wrong")]
    for page in pages:
        assert way(page) == [(303, "/login?error=1")]
        assert "You could not be signed in." in page.text
    assert not browser.cookies.get("parcela_session")
    assert "You could not be signed in." not in browser.open("/login").text


def test_the_login_page_renews_a_session_but_not_for_who_was_refused(server: Server, browser: CloudBrowser) -> None:
    email = address(server)
    browser.register("Ana", email, PASSWORD)
    browser.login(email, PASSWORD)
    browser.cookies.delete("parcela_session")  # as the browser does after the hour that it is good for
    assert browser.open("/login?error=1").url.path == "/login"
    browser.open("/home")
    assert browser.cookies.get("parcela_session")
    browser.logout()
    assert not browser.cookies.get("parcela_refresh")


def test_a_refused_registration_is_a_page_that_says_why(server: Server, browser: CloudBrowser) -> None:
    email = address(server)
    browser.register("Ana", email, PASSWORD)
    taken = browser.register("Ana", email, PASSWORD)
    assert (taken.status_code, way(taken)) == (400, [])
    assert "This e-mail address already has an account." in taken.text
    weak = browser.register("Ana", address(server), "short")
    assert (weak.status_code, way(weak)) == (422, [])
    assert "The password is too short." in weak.text
    empty = browser.submit("/auth/register", full_name="Ana", email=address(server))
    assert (empty.status_code, "password: Field required" in empty.text) == (422, True)
    wrong = browser.register("Ana", "no address", PASSWORD)
    assert (wrong.status_code, "This is no e-mail address." in wrong.text) == (422, True)


def test_a_program_is_told_why_in_detail(server: Server) -> None:
    email = address(server)
    form = {"email": email, "full_name": "Ana", "password": PASSWORD}
    with httpx2.Client(base_url=server.url, timeout=REQUEST_TIMEOUT_S) as script:
        assert script.post("/auth/register", data=form).headers["location"] == "/login?registered=1"
        again = script.post("/auth/register", data=form)
        assert (again.status_code, again.json()["detail"]) == (400, "This e-mail address is already in use.")
        empty = script.post("/auth/register", data={"email": email, "full_name": "Ana"})
        assert (empty.status_code, empty.json()["detail"]) == (422, "body.password: Field required")
        wish = {"Accept": "application/json"}
        wrong = script.post("/auth/login", data={"email": email, "password": "wrong"}, headers=wish)
        assert (wrong.status_code, wrong.json()["code"]) == (401, "bad_credentials")
        entered = script.post("/auth/login", data={"email": email, "password": PASSWORD}, headers=wish)
        assert (entered.status_code, entered.json()["user"]["email"]) == (200, email)
        assert script.get("/auth/logout", headers=wish).json() == {"message": "Logged out."}


LED = {
    "/home": "/",
    "/plantillas": "/",
    "/plantillas/create": "/",
    "/plantillas/7": "/templates/7",
    "/plantillas/7/edit": "/templates/7",
    "/projects": "/",
    "/projects/7": "/slices/7",
    "/vnc/7": "/vms/7/console?kind=vnc",
}


@pytest.mark.parametrize("path", LED)
def test_older_links_lead_to_pages(server: Server, browser: CloudBrowser, path: str) -> None:
    stranger = browser.open(path)
    assert stranger.url.path == "/login"
    email = address(server)
    browser.register("Ana", email, PASSWORD)
    browser.login(email, PASSWORD)
    assert way(browser.open(path))[0] == (303, LED[path])
    program = httpx2.get(server.url + path, timeout=REQUEST_TIMEOUT_S)
    assert (program.status_code, program.json()["code"]) == (401, "session_missing")
    assert program.json()["detail"]


def test_an_older_link_with_no_number_is_a_page_that_says_so(server: Server, browser: CloudBrowser) -> None:
    email = address(server)
    browser.register("Ana", email, PASSWORD)
    browser.login(email, PASSWORD)
    for path in ("/plantillas/seven", "/projects/0", "/vnc/-1"):
        assert browser.open(path).status_code == 404


def test_registration_has_no_page_of_its_own(browser: CloudBrowser) -> None:
    assert way(browser.open("/registro")) == [(303, "/login")]


def test_what_monitors_and_drawings_ask_for(server: Server) -> None:
    with httpx2.Client(base_url=server.url, timeout=REQUEST_TIMEOUT_S) as script:
        assert script.get("/healthz").json() == {"ok": True}
        greeting = script.get("/").json()
        assert set(greeting) == {"message", "docs"}
        assert script.get(greeting["docs"], headers={"Accept": "text/html"}).status_code == 200
        picture = script.get("/static/images/pc.png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture.content[16:24]) == (64, 64)
