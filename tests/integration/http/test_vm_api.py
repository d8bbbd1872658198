"""The mark of a session that speaks ``vm_api``: what sets it, what keeps it, and whom it does not touch."""

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from tests.integration.http.lab import API, PASSWORD, Lab, problem

pytestmark = pytest.mark.anyio
USER = {"id", "email", "username", "is_active", "is_superuser", "created_at", "updated_at"}
LIST = "/virtual-machines/"


async def tokens(lab: Lab, name: str = "owner") -> dict[str, Any]:
    """What the login by the form of ``vm_api`` answers."""
    answer = await lab.http.post(f"{API}/login", data={"email": f"{name}@class.example", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def old(lab: Lab, name: str = "owner") -> dict[str, str]:
    """Headers of a marked session."""
    if name == "admin":
        form = {"email": lab.services.settings.admin_email, "password": PASSWORD}
        answer = await lab.http.post(f"{API}/login", data=form)
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return {"Authorization": f"Bearer {(await tokens(lab, name))['access_token']}"}


async def ask(lab: Lab, method: str, path: str, headers: Mapping[str, str], **options: Any) -> httpx2.Response:
    return await lab.http.request(method, API + path, headers=headers, **options)


async def is_marked(lab: Lab, token: str) -> bool:
    """Whether a token is answered in the old shapes."""
    answer = await ask(lab, "GET", "/users/me", {"Authorization": f"Bearer {token}"})
    return set(answer.json()) == USER


async def test_only_the_form_with_an_email_marks_a_session(lab: Lab) -> None:
    email = "owner@class.example"
    logins: list[tuple[dict[str, Any], bool]] = [
        ({"data": {"email": email, "password": PASSWORD}}, True),
        ({"files": {"email": (None, email), "password": (None, PASSWORD)}}, True),  # multipart
        ({"data": {"username": email, "password": PASSWORD}}, False),
        ({"json": {"email": email, "password": PASSWORD}}, False),
        ({"json": {"username": "owner", "password": PASSWORD}}, False),
        ({"json": {"email": email, "password": PASSWORD, "totp_code": ""}}, False),
    ]
    for options, marked in logins:
        answer = await lab.http.post(f"{API}/login", **options)
        assert answer.json()["token_type"] == "bearer"
        assert await is_marked(lab, answer.json()["access_token"]) is marked, options


async def test_the_mark_cannot_be_asked_for_otherwise(lab: Lab) -> None:
    form = {"username": "owner", "password": PASSWORD, "speaks_vm_api": "true"}
    made = (await lab.http.post(f"{API}/login?email=owner", data=form)).json()
    assert not await is_marked(lab, made["access_token"])
    body = {"email": "owner@class.example", "password": PASSWORD, "speaks_vm_api": True}
    problem(await lab.http.post(f"{API}/login", json=body), 422, "request_invalid")
    both = {"email": "owner@class.example", "username": "owner", "password": PASSWORD}
    problem(await lab.http.post(f"{API}/login", data=both), 422, "request_invalid")


async def test_the_mark_survives_a_refresh_and_is_never_caught(lab: Lab) -> None:
    for first, marked in ((await tokens(lab), True), (await lab.login("owner"), False)):
        pair = first
        for _ in range(2):
            answer = await lab.http.post(f"{API}/token/refresh", json={"refresh_token": pair["refresh_token"]})
            pair = answer.json()
            assert await is_marked(lab, pair["access_token"]) is marked


async def test_a_wrong_password_is_told_as_it_was(lab: Lab) -> None:
    answer = await lab.http.post(f"{API}/login", data={"email": "owner@class.example", "password": "wrong"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert isinstance(answer.json()["detail"], str)
    assert answer.headers["content-type"] == "application/json"
    missing = await lab.http.post(f"{API}/login", data={"email": "owner@class.example"})
    assert (missing.status_code, missing.json()["detail"]) == (422, "password: Field required")
    canonical = await lab.http.post(f"{API}/login", data={"username": "owner", "password": "wrong"})
    assert problem(canonical, 401, "bad_credentials")
    assert canonical.headers["www-authenticate"] == 'Bearer realm="parcela"'


async def test_users_are_arrays_of_the_old_shape(lab: Lab) -> None:
    admin = await old(lab, "admin")
    everybody = (await ask(lab, "GET", "/users/?skip=0&limit=100", admin)).json()
    assert all(set(user) == USER and user["updated_at"] is None for user in everybody)
    assert [user["id"] for user in everybody] == sorted(user["id"] for user in everybody)
    middle = (await ask(lab, "GET", "/users/?skip=1&limit=1", admin)).json()
    assert middle == everybody[1:2]
    assert (await ask(lab, "GET", "/users/?skip=100000", admin)).json() == []
    refused = await ask(lab, "GET", "/users/", await old(lab))
    assert (refused.status_code, type(refused.json()["detail"])) == (403, str)
    without_slash = await lab.http.get(f"{API}/users", headers=admin, follow_redirects=True)
    assert without_slash.json() == everybody


@pytest.mark.parametrize(
    ("query", "field"), [("skip=-1", "skip"), ("limit=0", "limit"), ("limit=1001", "limit"), ("skip=x", "skip")]
)
async def test_a_bad_window_is_refused_with_the_reason_in_the_one_field(lab: Lab, query: str, field: str) -> None:
    answer = await ask(lab, "GET", f"{LIST}?{query}", await old(lab))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{field}: Input should be ")


async def test_skip_is_unknown_to_everybody_else(lab: Lab) -> None:
    for path in ("/users/", LIST):
        problem(await lab.call("GET", f"{path}?skip=0", "admin"), 422, "unknown_parameter")


async def test_an_administrator_makes_users(lab: Lab) -> None:
    admin = await old(lab, "admin")
    name = lab.unique("old")
    body = {"email": f"{name}@class.example", "username": name, "password": PASSWORD, "role": "ADMIN"}
    made = await ask(lab, "POST", "/users/", admin, json=body | {"is_superuser": True})
    assert (made.status_code, set(made.json())) == (200, USER)
    assert made.json()["is_superuser"] is False
    seen = (await lab.call("GET", f"/users/{made.json()['id']}", "admin")).json()
    assert (seen["role"], seen["is_superuser"]) == ("admin", False)
    again = await ask(lab, "POST", "/users/", admin, json=body)
    assert (again.status_code, type(again.json()["detail"])) == (400, str)
    assert (await ask(lab, "POST", "/users/", await old(lab), json=body)).status_code == 403


async def test_anybody_registers_without_a_token(lab: Lab) -> None:
    name = lab.unique("new")
    body = {"email": f"{name}@class.example", "username": name, "password": PASSWORD, "role": "CLIENT"}
    made = await lab.http.post(f"{API}/users/", json=body | {"is_superuser": True})
    assert (made.status_code, set(made.json())) == (200, USER)
    assert (made.json()["is_superuser"], made.json()["is_active"]) == (False, True)
    assert await is_marked(lab, (await tokens(lab, name))["access_token"])
    again = await lab.http.post(f"{API}/users/", json=body)
    assert (again.status_code, type(again.json()["detail"])) == (400, str)


@pytest.mark.parametrize("role", ["ADMIN", "admin", "technician"])
async def test_nobody_registers_with_more_rights(lab: Lab, role: str) -> None:
    before = await lab.counts()
    name = lab.unique("new")
    body = {"email": f"{name}@class.example", "username": name, "password": PASSWORD, "role": role}
    refused = await lab.http.post(f"{API}/users/", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "registration_role")
    assert await lab.counts() == before


async def test_a_bad_registration_is_told_in_the_one_field(lab: Lab) -> None:
    body = {"email": "weak@class.example", "username": "weak", "password": "12345678"}
    weak = await lab.http.post(f"{API}/users/", json=body)
    assert weak.status_code == 422
    assert "password" in weak.json()["detail"].lower()
    missing = await lab.http.post(f"{API}/users/", json={"email": "weak@class.example", "password": PASSWORD})
    assert (missing.status_code, missing.json()["detail"]) == (422, "username: Field required")


async def test_with_a_token_users_are_made_as_ever(lab: Lab) -> None:
    name = lab.unique("new")
    body = {"email": f"{name}@class.example", "username": name, "password": PASSWORD}
    bad = await lab.http.post(f"{API}/users/", json=body, headers={"Authorization": "Bearer nonsense"})
    problem(bad, 401, "token_invalid")
    problem(await lab.call("POST", "/users/", "owner", json=body), 403, "permission_missing")
    assert (await lab.make("/users/", "admin", json=body))["role"] == "client"


async def test_a_personal_token_speaks_it_when_it_was_made_so(lab: Lab) -> None:
    wish = {"name": lab.unique("token"), "scopes": ["*"]}
    plain = await lab.make("/tokens/", json=wish)
    marked = await lab.make("/tokens/", json=wish | {"speaks_vm_api": True})
    assert (plain["speaks_vm_api"], marked["speaks_vm_api"]) == (False, True)
    assert not await is_marked(lab, plain["token"])
    assert await is_marked(lab, marked["token"])
    listed = (await lab.call("GET", "/tokens/?limit=200")).json()["items"]
    assert {row["id"]: row["speaks_vm_api"] for row in listed if row["name"] == wish["name"]} == {
        plain["id"]: False,
        marked["id"]: True,
    }
    for bad in ("yes", 1, None):
        refused = await lab.call("POST", "/tokens/", json=wish | {"speaks_vm_api": bad})
        problem(refused, 422, "request_invalid")


async def test_other_addresses_are_canonical_with_the_mark_too(lab: Lab) -> None:
    headers = await old(lab)
    assert set((await ask(lab, "GET", "/slices/", headers)).json()) == {"items", "next_cursor"}
    problem(await ask(lab, "GET", "/slices/?skip=0", headers), 422, "unknown_parameter")
    changed = await ask(lab, "PATCH", "/users/me", headers, json={"full_name": "Ana"})
    assert changed.json()["full_name"] == "Ana"


async def test_the_start_greets_programs_and_shows_people_the_page(lab: Lab) -> None:
    greeting = await lab.http.get("/")
    assert (greeting.status_code, set(greeting.json())) == (200, {"message", "docs"})
    page = await lab.http.get("/", headers={"Accept": "text/html"})
    assert page.headers["location"] == "/login"


async def test_what_never_worked_is_not_there(lab: Lab) -> None:
    form = {"username": "owner", "password": PASSWORD}
    problem(await lab.http.post(f"{API}/users/token", data=form), 405, "method_not_allowed")
    problem(await lab.http.post(f"{API}/token", data=form), 404, "route_not_found")
