"""A page and a route of an older API at one address, in the running application."""

import pytest

from parcela.core.cookies import SESSION_COOKIE
from tests.integration.http.lab import PASSWORD, Lab, problem

pytestmark = pytest.mark.anyio
HTML = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def no_cookies(lab: Lab) -> None:
    lab.http.cookies.clear()


async def test_login_takes_json_and_shows_a_form(lab: Lab) -> None:
    answer = await lab.http.post("/login", json={"email": "owner", "password": PASSWORD})
    assert answer.json()["token"]
    assert (await lab.http.post("/login", data={"identifier": "owner"})).status_code == 403  # the page: no CSRF proof
    assert "<form" in (await lab.http.get("/login", headers=HTML)).text


async def test_a_template_is_a_document_and_a_page(lab: Lab) -> None:
    made = await lab.template()
    cookie = {"Cookie": f"{SESSION_COOKIE}={lab.people['owner'].token}"}
    path = f"/templates/{made['id']}"
    assert (await lab.http.get(path, headers=cookie)).json()["topologia"]["nodes"][0]["label"] == "web"
    assert "<html" in (await lab.http.get(path, headers=cookie | HTML)).text


async def test_a_method_that_neither_has_is_refused_as_such(lab: Lab) -> None:
    problem(await lab.http.patch("/templates/1"), 405, "method_not_allowed")


async def test_a_personal_token_is_no_cookie(lab: Lab) -> None:
    cookie = {"Cookie": f"{SESSION_COOKIE}={lab.people['reader'].token}"}
    problem(await lab.http.get("/slices", headers=cookie), 401, "session_missing")


async def test_the_canonical_login_takes_the_form_of_oauth2(lab: Lab) -> None:
    form = {"grant_type": "password", "username": "owner", "password": PASSWORD}
    token = (await lab.http.post("/api/v1/login", data=form)).json()["access_token"]
    answer = await lab.http.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["username"] == "owner"
    problem(await lab.http.post("/api/v1/login", data={"username": "owner"}), 422, "request_invalid")


async def test_the_document_offers_both_ways_to_log_in(lab: Lab) -> None:
    document = (await lab.http.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"] == "/api/v1/login"
    listing = document["paths"]["/api/v1/virtual-machines/"]["get"]
    assert listing["security"] == [{"HTTPBearer": []}, {"OAuth2PasswordBearer": []}]
    assert "429" in listing["responses"]
    assert "429" not in document["paths"]["/api/v1/system/health"]["get"]["responses"]
