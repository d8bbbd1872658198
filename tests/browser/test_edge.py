"""What the HTML edge refuses, over plain HTTP: forged writes, strangers, streams without a session."""

import re
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie

import httpx2
import pytest
from fastapi.routing import iter_route_contexts

from parcela.web.pages import consoles, events, home, language, login, slices, templates, vms
from parcela.web.routes import WebRoute
from tests.browser.server import PASSWORD, TIMEOUT_S, Server

CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
HTML = {"Accept": "text/html"}
ROUTERS = [module.router for module in (consoles, events, home, language, login, slices, templates, vms)]
ROUTES = sorted(
    f"{method} {route.path}"
    for router in ROUTERS
    for route in iter_route_contexts(router.routes)
    for method in route.methods or ()
)
WRITES = [route.removeprefix("POST ") for route in ROUTES if route.startswith("POST")]
PUBLIC = {"/login", "/language/{locale}"}
VALUES = {
    "{slice_id}": "1",
    "{vm_id}": "1",
    "{template_id}": "1",
    "{operation_id}": "1",
    "{locale}": "es",
    "{action}": "reset",
}
FORM = {"hours": "8", "kind": "serial"}
Enter = Callable[..., httpx2.Client]


@pytest.fixture
def enter(server: Server) -> Iterator[Enter]:
    """Gives HTTP clients that are signed in with cookies, as a browser is."""
    clients: list[httpx2.Client] = []

    def sign_in(username: str | None = None) -> httpx2.Client:
        client = httpx2.Client(base_url=server.url, headers=HTML, timeout=TIMEOUT_S)
        clients.append(client)
        if username:
            token = csrf_of(client, "/login")
            form = {"identifier": username, "password": PASSWORD, "csrf_token": token}
            assert client.post("/login", data=form).status_code == 303
        return client

    yield sign_in
    for client in clients:
        client.close()


def csrf_of(client: httpx2.Client, path: str) -> str:
    found = CSRF.search(client.get(path).text)
    assert found
    return found[1]


def address_of(route: str, values: dict[str, str] | None = None) -> str:
    for name, value in (VALUES | (values or {})).items():
        route = route.replace(name, value)
    assert "{" not in route
    return route


def test_every_route_of_the_pages_is_one_of_theirs() -> None:
    routes = [route.original_route for router in ROUTERS for route in iter_route_contexts(router.routes)]
    assert all(isinstance(route, WebRoute) for route in routes)
    assert len(WRITES) >= 8


@pytest.mark.parametrize("path", WRITES)
def test_a_write_without_proof_is_refused(enter: Enter, server: Server, path: str) -> None:
    client = enter(server.user())
    for form in (FORM, FORM | {"csrf_token": "a.b"}, FORM | {"csrf_token": csrf_of(enter(server.user()), "/")}):
        answer = client.post(address_of(path), data=form)
        assert answer.status_code == 403, path
        assert "This form is out of date" in answer.text
    assert client.get("/").status_code == 200  # nothing happened, not even to the session


@pytest.mark.parametrize("route", ROUTES)
def test_who_is_not_signed_in_is_sent_to_the_login_page(enter: Enter, route: str) -> None:
    method, path = route.split(" ")
    if path in PUBLIC:
        return
    answer = enter().request(method, address_of(path), data=FORM if method == "POST" else None)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")


@pytest.fixture(scope="package")
def belongings(server: Server) -> dict[str, str]:
    """Ids of a slice, a machine and an operation of somebody else."""
    with server.admin() as api:
        made = api.post("/api/v1/slices/", json={"template_id": 1}).json()
        operation = api.post(f"/api/v1/slices/{made['id']}/deploy").json()
        vm = api.get(f"/api/v1/slices/{made['id']}/vms").json()[0]
    return {"{slice_id}": str(made["id"]), "{vm_id}": str(vm["id"]), "{operation_id}": str(operation["id"])}


@pytest.mark.parametrize("route", [route for route in ROUTES if "{slice_id}" in route or "{vm_id}" in route])
def test_what_belongs_to_others_is_not_there(
    enter: Enter, server: Server, belongings: dict[str, str], route: str
) -> None:
    stranger = enter(server.user())
    method, path = route.split(" ")
    form = FORM | {"csrf_token": csrf_of(stranger, "/")}
    answer = stranger.request(method, address_of(path, belongings), data=form if method == "POST" else None)
    assert answer.status_code == 404, answer.text


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(server: Server) -> None:
    with httpx2.Client(base_url=server.url, headers=HTML, timeout=TIMEOUT_S) as client:
        form = {"identifier": server.user(), "password": PASSWORD, "csrf_token": csrf_of(client, "/login")}
        answer = client.post("/login", data=form)
    cookies = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        cookies.load(header)
    for name, path in (("parcela_session", "/"), ("parcela_refresh", "/login")):
        assert cookies[name]["httponly"]
        assert cookies[name]["samesite"] == "lax"
        assert cookies[name]["path"] == path


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(enter: Enter, server: Server) -> None:
    client = enter(server.user())
    stolen = dict(client.cookies)
    assert client.post("/logout", data={"csrf_token": csrf_of(client, "/")}).status_code == 303
    thief = enter()
    thief.cookies.update(stolen)
    assert thief.get("/").headers["location"] == "/login"


def test_a_spent_refresh_token_is_no_way_in(enter: Enter, server: Server) -> None:
    client = enter(server.user())
    refresh = client.cookies.get("parcela_refresh")
    assert client.post("/logout", data={"csrf_token": csrf_of(client, "/")}).status_code == 303
    thief = enter()
    thief.cookies.set("parcela_refresh", str(refresh), path="/login")
    assert thief.get("/login").status_code == 200


def test_the_api_does_not_take_cookies(enter: Enter, server: Server) -> None:
    client = enter(server.user())
    answer = client.get("/api/v1/slices/")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_personal_token_is_no_session_of_a_browser(enter: Enter, server: Server) -> None:
    with server.admin() as api:
        body = {"name": "cookie", "scopes": ["*"]}
        token = api.post("/api/v1/tokens/", json=body).json()["token"]
    client = enter()
    client.cookies.set("parcela_session", token)
    assert client.get("/").headers["location"] == "/login"
    assert client.get("/login").status_code == 200


def test_htmx_gets_the_inside_of_a_page(enter: Enter, server: Server) -> None:
    client = enter(server.user())
    assert "<html" in client.get("/").text
    assert "<html" not in client.get("/", headers={"HX-Request": "true"}).text
    assert "<html" in client.get("/", headers={"HX-Request": "true", "HX-Boosted": "true"}).text


def test_htmx_without_a_session_is_told_where_to_go(enter: Enter, server: Server) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": f"{server.url}/slices/3"}
    answer = enter().get("/slices/3", headers=headers)
    assert answer.headers["hx-redirect"] == "/login?next=/slices/3"


def test_a_stream_needs_a_session_and_says_so_to_programs(enter: Enter) -> None:
    answer = enter().get("/events/stream", headers={"Accept": "text/event-stream"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def numbers(lines: Iterator[str], count: int) -> list[int]:
    found: list[int] = []
    for line in lines:
        if line.startswith("id: "):
            found.append(int(line.removeprefix("id: ")))
        if len(found) == count:
            return found
    raise AssertionError("the stream ended")


def test_a_stream_resumes_after_the_last_event_of_the_browser(enter: Enter, server: Server) -> None:
    client, stranger = enter(server.user()), enter(server.user())
    headers = {"Accept": "text/event-stream"}
    token = csrf_of(stranger, "/")
    assert stranger.post("/templates/1/launch", data={"csrf_token": token}).status_code == 303
    launched = client.post("/templates/1/launch", data={"csrf_token": csrf_of(client, "/")})
    slice_id = launched.headers["location"].rsplit("/", 1)[1]
    address = f"/events/stream?slice_id={slice_id}"
    with client.stream("GET", f"{address}&since=0", headers=headers) as stream:
        first = numbers(stream.iter_lines(), 6)
    assert first == sorted(set(first))
    with client.stream("GET", address, headers=headers | {"Last-Event-ID": str(first[2])}) as stream:
        assert numbers(stream.iter_lines(), 3) == first[3:]


def test_built_files_are_kept_and_pages_are_not(enter: Enter) -> None:
    client = enter()
    page = client.get("/login")
    assert page.headers["cache-control"] == "no-store"
    script = re.search(r'src="(/static/app-[^"]+)"', page.text)
    if script is None:
        pytest.skip("the front end is not built")
    assert "immutable" in client.get(script[1]).headers["cache-control"]
