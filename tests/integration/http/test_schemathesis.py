"""The OpenAPI document against the application: generated requests, good and bad, as administrator and as client.

Fails on a status that is not documented (500 never is), on an answer that does not fit its schema, and on a wrong
content type. Everything is derived from fixed seeds, so a failure repeats.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from parcela.hypervisors.registry import DriverRegistry
from parcela.hypervisors.simulated import Delays, SimulatedDriver, SimulatedWorld
from parcela.main import create_app
from tests.integration.catalogue.disks import raw_disk
from tests.integration.http.lab import API, ONE_VM, PASSWORD, make_settings
from tests.integration.http.rights_table import RULES

TIMEOUT_S = 300
EXAMPLES = 6
"""Generated requests per operation, caller and mode."""
EXCLUDED = {
    "POST /api/v1/logout": "ends the session that all later requests use",
    "POST /api/v1/users/me/password": "changes the password behind that session; a quarter of a second of hashing",
    "DELETE /api/v1/sessions/": "ends the other sessions, which later requests use",
    "GET /api/v1/events/stream": "has no end; test_events.py reads it",
}
NOT_IN_DOCUMENT = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/metrics"}
NOTHING_TO_GET_WRONG = {
    "GET /",
    "GET /api/sistema/health",
    "GET /api/v1/system/health",
    "GET /auth/logout",
    "GET /healthz",
    "GET /registro",
    "GET /static/images/pc.png",
}
OPERATIONS = sorted(
    rule.route
    for rule in RULES.values()
    if rule.path not in NOT_IN_DOCUMENT and rule.method != "WS" and rule.route not in EXCLUDED
)
MODES = list(schemathesis.GenerationMode)
CASES = [
    pytest.param(route, mode, id=f"{route} {mode.value}")
    for route in OPERATIONS
    for mode in MODES
    if route not in NOTHING_TO_GET_WRONG or mode is schemathesis.GenerationMode.POSITIVE
]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
CONFIG = {
    "generation": {"deterministic": True, "database": "none"},
    # Documented ones are fine; whether they are documented is what status_code_conformance says.
    "checks": {"not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "501", "503", "507"]}},
}


@dataclass
class Target:
    """The running application as schemathesis sees it, and things that exist in it."""

    document: BaseSchema
    headers: dict[str, dict[str, str]]
    ids: dict[str, Any]


def _login(client: asgi.ASGIClient, name: str) -> dict[str, str]:
    answer = client.post(f"{API}/login", json={"email": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def _furnish(client: asgi.ASGIClient, admin: dict[str, str], owner: dict[str, str]) -> dict[str, Any]:
    """One of everything, by the name of its path parameter, so that generated requests meet more than 404."""

    def make(path: str, who: dict[str, str], **options: Any) -> Any:
        answer = client.post(API + path, headers=who, **options)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    size = {"vcpus": 1, "memory_mib": 128, "disk_gib": 1}
    spare = {"email": "spare@class.example", "username": "spare", "password": PASSWORD}
    machine_id = make("/machines/", admin, json={"code": "spare", "type": "PC"})
    about = {"machine_id": machine_id}
    template_id = make("/templates/", owner, json={"name": "one", "document": ONE_VM})
    return {
        "user_id": make("/users/", admin, json=spare),
        "role_id": make("/roles/", admin, json={"name": "spare", "permissions": ["host:read"]}),
        "token_id": make("/tokens/", owner, json={"name": "spare", "scopes": ["*"]}),
        "flavour_id": make("/flavours/", admin, json={"name": "spare"} | size),
        "image_id": make("/images/", owner, params={"name": "spare"}, data=raw_disk()),
        "zone_id": make("/zones/", admin, json={"name": "spare", "provider": "simulated"}),
        "host_id": make("/hosts/", admin, json={"name": "spare", "zone_id": 2} | size),
        "machine_id": machine_id,
        "codigo": "SPARE",
        "record_id": make("/maintenance-records/", admin, json=about | {"kind": "corrective"}),
        "plan_id": make("/maintenance-plans/", admin, json=about | {"title": "x", "next_due_on": "2040-01-01"}),
        "attachment_id": make(f"/machines/{machine_id}/attachments", admin, params={"name": "a"}, data=b"a"),
        "template_id": template_id,
        "slice_id": make("/slices/", owner, json={"template_id": template_id}),
        "vm_id": make("/virtual-machines/", owner, json={"name": "web", "os": "tiny", "flavour": "tiny"}),
        "operation_id": 1,
        "version": 1,
    }


@pytest.fixture(scope="module")
def target(schema: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    world = SimulatedWorld(delays=Delays.none())

    def registry(_settings: object, installation: str) -> DriverRegistry:
        return DriverRegistry({"simulated": lambda name: SimulatedDriver(world, name, installation)})

    # A generated request may be a login with a name that exists; its lock must not outlive the test.
    app = create_app(make_settings(tmp_path_factory.mktemp("fuzz"), schema, PARCELA_LOGIN_LOCK_S=1), registry)
    document = schemathesis.openapi.from_asgi("/openapi.json", app, config=schemathesis.Config.from_dict(CONFIG))
    with asgi.get_client(cast("asgi.ASGIApp", app)) as client:
        admin = _login(client, "admin")
        body = {"email": "owner@class.example", "username": "owner", "password": PASSWORD}
        assert client.post(f"{API}/users/", json=body, headers=admin).status_code == 201
        owner = _login(client, "owner")
        ids = _furnish(client, admin, owner)
    yield Target(document, {"admin": admin, "client": owner}, ids)
    asgi.shutdown_lifespans()


def test_the_document_has_no_operation_that_is_not_tried(target: Target) -> None:
    documented = {
        f"{method.upper()} {path}"
        for path, item in target.document.raw_schema["paths"].items()
        for method in item
        if path not in NOT_IN_DOCUMENT
    }
    assert documented == {*OPERATIONS, *EXCLUDED}


@pytest.mark.parametrize("who", ["admin", "client"])
@pytest.mark.parametrize(("route", "mode"), CASES)
def test_operation(target: Target, route: str, mode: schemathesis.GenerationMode, who: str) -> None:
    method, path = route.split(" ", 1)
    operation = target.document[path][method]
    strategy = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def run(case: schemathesis.Case[Any]) -> None:
        # Things that exist instead of random numbers, which would all be 404; and never the caller's own user.
        for name, value in case.path_parameters.items():
            if name in target.ids and isinstance(value, type(target.ids[name])):
                case.path_parameters[name] = target.ids[name]
        # The default of ten seconds is too short where the machine is busy with something else.
        case.call_and_validate(headers=target.headers[who], checks=CHECKS, timeout=TIMEOUT_S)

    run()
