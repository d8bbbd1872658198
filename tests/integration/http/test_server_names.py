"""Every answer says which replica gave it, and the older API says it in its bodies too."""

import pytest

from tests.integration.http.lab import Lab

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/api/sistema/health", "/api/sistema/metrics", "/api/maquinas/dashboard"])
async def test_header_and_body_name_the_same_server(lab: Lab, path: str) -> None:
    answer = await lab.http.get(path, headers=lab.people["admin"].headers)
    assert answer.json()["server_id"] == answer.headers["x-server-id"] == lab.services.settings.server_id
