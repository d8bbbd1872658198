"""The server that the scripts talk to is real, and runs on the database it says."""

import httpx2

from tests.compat.support import Server


def test_the_server_runs_on_its_database(server: Server) -> None:
    answer = httpx2.get(f"{server.url}/api/v1/system/health", headers=server.admin_headers(), timeout=60)
    checks = {check["name"]: check["detail"] for check in answer.json()["checks"]}
    assert checks["database"] == {"postgres": "postgresql", "mariadb": "mysql"}.get(server.database, server.database)
    assert answer.headers["x-server-id"]


def test_users_of_the_canonical_api_can_be_prepared(server: Server) -> None:
    name = server.user(full_name="Ana")
    # Other scripts have made users too: more than a page holds.
    found = httpx2.get(f"{server.url}/api/v1/users/", params={"q": name}, headers=server.admin_headers(), timeout=60)
    assert [user["full_name"] for user in found.json()["items"] if user["username"] == name] == ["Ana"]
