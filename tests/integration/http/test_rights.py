"""Every route of the application, for every kind of caller: ``rights_table.py`` is the table, this walks it."""

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from tests.integration.http.lab import Lab
from tests.integration.http.rights_table import CALLERS, PAGE_RULES, RULES, Rule
from tests.integration.http.rights_targets import TARGETS
from tests.integration.http.rights_walk import NOBODY_ON_PAGES, Outcome, Walk

pytestmark = pytest.mark.anyio
CASES = [pytest.param(rule, who, id=f"{rule.route} {who}") for rule in RULES.values() for who in CALLERS]
PAGE_CASES = [pytest.param(rule, who, id=f"{rule.route} {who}") for rule in PAGE_RULES.values() for who in CALLERS]


def routes_of(app: FastAPI) -> set[str]:
    """``METHOD path`` of every route; HEAD goes with GET."""
    found = set()
    for route in iter_route_contexts(app.routes):
        other = "MOUNT" if isinstance(route.original_route, Mount) else "WS"
        methods = getattr(route, "methods", None) or {other}
        found |= {f"{method} {route.path}" for method in methods if method != "HEAD"}
    return found


def check_complete(app: FastAPI, known: set[str]) -> None:
    """Fail with the names of the routes that are in the application only, or in the table only."""
    routes = routes_of(app)
    missing, gone = sorted(routes - known), sorted(known - routes)
    assert not missing, f"rights_table.py says nothing about: {', '.join(missing)}"
    assert not gone, f"rights_table.py knows routes that are not there: {', '.join(gone)}"


async def test_every_route_is_in_the_table(lab: Lab) -> None:
    check_complete(lab.app, {*RULES, *PAGE_RULES})


async def test_a_route_that_is_missing_in_the_table_is_named() -> None:
    app = FastAPI(openapi_url=None)
    app.add_api_route("/forgotten", lambda: None, methods=["POST"])
    app.add_api_websocket_route("/ws/forgotten", lambda: None)
    with pytest.raises(AssertionError, match=r"nothing about: POST /forgotten, WS /ws/forgotten"):
        check_complete(app, set())


async def test_every_target_of_the_table_can_be_made() -> None:
    assert {rule.target for rule in (RULES | PAGE_RULES).values()} - {None, "fresh_login"} == set(TARGETS)


@pytest.fixture(scope="module")
async def walk(lab: Lab) -> Walk:
    return Walk(lab, await lab.classroom())


def check_kept_by_nobody(rule: Rule, outcome: Outcome) -> None:
    """No cache keeps an answer; programs may what they read with a token, and ask again. No host in redirects."""
    if rule.method == "WS":
        return
    again = rule.path.startswith("/api/v1/") and rule.method == "GET" and outcome.status == 200
    if rule.path.startswith("/static/") and outcome.status == 200:
        assert outcome.cache.startswith("public")  # the same for everybody
    else:
        strict = {"no-store", "no-cache, no-store, must-revalidate"}  # the latter as clients of siglab know it
        assert outcome.cache in (strict | {"no-cache, private"} if again else strict)
    assert outcome.location == "" or (outcome.location[0] == "/" and outcome.location[1:2] not in {"/", "\\"})


@pytest.mark.parametrize(("rule", "who"), CASES)
async def test_right(walk: Walk, rule: Rule, who: str) -> None:
    outcome = await walk.outcome(rule, who)
    assert outcome.status == rule.statuses[who]
    check_kept_by_nobody(rule, outcome)


@pytest.mark.parametrize(("rule", "who"), PAGE_CASES)
async def test_right_to_a_page(walk: Walk, rule: Rule, who: str) -> None:
    outcome = await walk.outcome(rule, who)
    assert outcome.status == rule.statuses[who]
    check_kept_by_nobody(rule, outcome)
    if outcome.status == 303 and rule.path not in {"/login", "/login/code", "/language/{locale}", "/logout"}:
        assert outcome.location.startswith("/login") == (who in NOBODY_ON_PAGES)
