"""Identity over HTTP."""

import asyncio
from typing import Any

import pytest

from parcela.api.etags import etag_of
from parcela.core.permissions import Permission
from tests.integration.identity.support import ADMIN_ID, PASSWORD, Client, Identity, problem

pytestmark = pytest.mark.anyio

ANA = {"email": "ana@lab.local", "username": "ana", "password": PASSWORD, "full_name": "Ana Quispe"}


async def make_ana(client: Client, **changes: Any) -> int:
    await client.login("admin")
    answer = await client.call("POST", "/users/", json={**ANA, **changes})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def test_login_and_me(client: Client) -> None:
    answer = await client.call("POST", "/login", json={"email": "admin@lab.local", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in_s"}
    me = (await client.call("GET", "/users/me", token=body["access_token"])).json()
    assert (me["id"], me["role"], me["permissions"], me["scopes"]) == (ADMIN_ID, "admin", ["*"], None)
    assert "password" not in str(me)


@pytest.mark.parametrize("fields", [{"username": "admin"}, {"email": "admin"}, {"email": "admin@lab.local"}])
async def test_both_names_of_the_field(client: Client, fields: dict[str, str]) -> None:
    answer = await client.call("POST", "/login", json={**fields, "password": PASSWORD})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"password": "x"},
        {"email": "a"},
        {"email": "", "username": "", "password": "x"},
        {"email": "a", "password": "x", "more": 1},
        {"email": None, "password": "x"},
        {"email": "a", "password": 7},
        [],
    ],
)
async def test_logins_of_the_wrong_shape(client: Client, body: Any) -> None:
    problem(await client.call("POST", "/login", json=body), 422, "request_invalid")


async def test_a_body_that_cannot_be_read(client: Client) -> None:
    answer = await client.call("POST", "/login", content=b'{"a": "\xff"}', headers={"Content-Type": "application/json"})
    problem(answer, 400, "bad_request")


async def test_a_lone_surrogate(client: Client) -> None:
    raw = '{"email": "a", "password": "\\ud800"}'
    answer = await client.call("POST", "/login", content=raw, headers={"Content-Type": "application/json"})
    problem(answer, 422, "request_invalid")


async def test_wrong_password_and_lock(client: Client) -> None:
    body = {"email": "admin", "password": "wrong"}
    for _ in range(5):
        answer = await client.call("POST", "/login", json=body)
        problem(answer, 401, "bad_credentials")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    answer = await client.call("POST", "/login", json={"email": "admin", "password": PASSWORD})
    assert "5 seconds" in problem(answer, 429, "too_many_attempts")["detail"]
    assert answer.headers["retry-after"] == "5"


async def test_without_and_with_bad_tokens(client: Client) -> None:
    problem(await client.call("GET", "/users/me"), 401, "token_missing")
    problem(await client.call("GET", "/users/me", token="x"), 401, "token_invalid")


async def test_refresh_and_logout(client: Client) -> None:
    first = await client.login("admin")
    answer = await client.call("POST", "/token/refresh", json={"refresh_token": first["refresh_token"]})
    assert answer.status_code == 200
    second = answer.json()
    answer = await client.call("POST", "/logout", token=second["access_token"])
    assert (answer.status_code, answer.content) == (204, b"")
    for token in (first["access_token"], second["access_token"]):
        problem(await client.call("GET", "/users/me", token=token), 401, "token_revoked")
    again = {"refresh_token": second["refresh_token"]}
    problem(await client.call("POST", "/token/refresh", json=again), 401, "token_revoked")


async def test_reuse_of_a_refresh_token(client: Client) -> None:
    first = await client.login("admin")
    body = {"refresh_token": first["refresh_token"]}
    assert (await client.call("POST", "/token/refresh", json=body)).status_code == 200
    problem(await client.call("POST", "/token/refresh", json=body), 401, "token_reused")


async def test_create_read_list(client: Client) -> None:
    await client.login("admin")
    answer = await client.call("POST", "/users/", json={**ANA, "email": "ANA@lab.local", "username": "Ana"})
    assert answer.status_code == 201
    user = answer.json()
    assert answer.headers["location"] == f"/api/v1/users/{user['id']}"
    assert (user["email"], user["username"], user["role"]) == ("ana@lab.local", "ana", "client")
    assert "password" not in str(user)
    assert (await client.call("GET", f"/users/{user['id']}")).json() == user
    listed = (await client.call("GET", "/users/?q=ana&is_active=true&role=client")).json()
    assert listed == {"items": [user], "next_cursor": None}
    page = (await client.call("GET", "/users/?limit=1&sort=-username")).json()
    assert page["items"] == [user]
    rest = await client.call("GET", "/users/", params={"limit": 1, "sort": "-username", "cursor": page["next_cursor"]})
    assert [row["username"] for row in rest.json()["items"]] == ["admin"]
    problem(await client.call("GET", "/users/?sort=password_hash"), 422, "bad_sort")
    problem(await client.call("POST", "/users/", json={**ANA, "username": "ana2"}), 409, "email_taken")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"password": "x" * 73}, "password_too_long"),
        ({"password": "ñ" * 37}, "password_too_long"),
        ({"password": "short"}, "password_too_short"),
        ({"password": "a\x00bcdefgh"}, "password_invalid"),
        ({"email": "nobody"}, "email_invalid"),
        ({"username": "a b"}, "request_invalid"),
        ({"full_name": "a\x00b"}, "request_invalid"),
        ({"role": "king"}, "unknown_role"),
        ({"locale": "fr"}, "request_invalid"),
        ({"rol": "admin"}, "request_invalid"),
        ({"is_superuser": "yes"}, "request_invalid"),
        ({"is_active": 0}, "request_invalid"),
    ],
)
async def test_users_that_cannot_be(client: Client, changes: dict[str, Any], code: str) -> None:
    await client.login("admin")
    body = problem(await client.call("POST", "/users/", json={**ANA, **changes}), 422, code)
    assert body["problems"]


async def test_73_bytes_are_explained(client: Client) -> None:
    await client.login("admin")
    body = problem(await client.call("POST", "/users/", json={**ANA, "password": "x" * 73}), 422, "password_too_long")
    assert "at most 72 bytes" in body["detail"]
    assert "73" in body["detail"]
    assert body["problems"][0]["where"] == "password"


async def test_change_with_and_without_if_match(client: Client) -> None:
    user_id = await make_ana(client)
    path = f"/users/{user_id}"
    seen = etag_of((await client.call("GET", path)).content)
    answer = await client.call("PATCH", path, json={"full_name": "Ana Q."}, headers={"If-Match": seen})
    assert answer.status_code == 200
    assert answer.json()["full_name"] == "Ana Q."
    answer = await client.call("PATCH", path, json={"full_name": "x"}, headers={"If-Match": seen})
    problem(answer, 412, "changed_meanwhile")
    problem(await client.call("DELETE", path, headers={"If-Match": seen}), 412, "changed_meanwhile")
    assert (await client.call("PATCH", path, json={"role": None})).json()["role"] == "client"
    assert (await client.call("DELETE", path)).status_code == 204
    problem(await client.call("GET", path), 404, "user_not_found")


async def test_of_two_changes_of_one_version_one_wins(client: Client) -> None:
    user_id = await make_ana(client)
    path = f"/users/{user_id}"
    seen = etag_of((await client.call("GET", path)).content)
    answers = await asyncio.gather(
        *(client.call("PATCH", path, json={"full_name": f"Ana {n}"}, headers={"If-Match": seen}) for n in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


async def test_me_can_be_changed_a_little(client: Client) -> None:
    await make_ana(client)
    await client.login("ana")
    seen = etag_of((await client.call("GET", "/users/me")).content)
    answer = await client.call("PATCH", "/users/me", json={"locale": "es"}, headers={"If-Match": seen})
    assert answer.json()["locale"] == "es"
    answer = await client.call("PATCH", "/users/me", json={"locale": "en"}, headers={"If-Match": seen})
    problem(answer, 412, "changed_meanwhile")
    problem(await client.call("PATCH", "/users/me", json={"role": "admin"}), 422, "request_invalid")


async def test_password_of_me(client: Client) -> None:
    await make_ana(client)
    await client.login("ana")
    wrong = {"old_password": "wrong", "new_password": "battery staple"}
    problem(await client.call("POST", "/users/me/password", json=wrong), 422, "wrong_password")
    right = {"old_password": PASSWORD, "new_password": "battery staple"}
    assert (await client.call("POST", "/users/me/password", json=right)).status_code == 204
    assert (await client.call("GET", "/users/me")).status_code == 200
    await client.login("ana", "battery staple")


async def test_reset_by_an_administrator(client: Client) -> None:
    user_id = await make_ana(client)
    ana = await client.login("ana")
    await client.login("admin")
    answer = await client.call("PATCH", f"/users/{user_id}", json={"password": "x" * 73})
    problem(answer, 422, "password_too_long")
    assert (await client.call("PATCH", f"/users/{user_id}", json={"password": "battery staple"})).status_code == 200
    problem(await client.call("GET", "/users/me", token=ana["access_token"]), 401, "token_revoked")
    await client.login("ana", "battery staple")


async def test_clients_may_little(client: Client) -> None:
    await make_ana(client)
    await client.login("ana")
    for method, path, body in (
        ("GET", "/users/", None),
        ("POST", "/users/", {**ANA, "username": "eve", "email": "eve@lab.local"}),
        ("PATCH", f"/users/{ADMIN_ID}", {"full_name": "x"}),
        ("DELETE", f"/users/{ADMIN_ID}", None),
        ("GET", "/roles/", None),
        ("POST", "/roles/", {"name": "boss", "permissions": ["*"]}),
        ("PATCH", "/roles/2", {"permissions": ["*"]}),
    ):
        problem(await client.call(method, path, json=body), 403, "permission_missing")
    problem(await client.call("GET", f"/users/{ADMIN_ID}"), 404, "user_not_found")


async def test_the_last_administrator_over_http(client: Client) -> None:
    await client.login("admin")
    problem(await client.call("DELETE", f"/users/{ADMIN_ID}"), 409, "last_administrator")
    problem(await client.call("PATCH", f"/users/{ADMIN_ID}", json={"is_active": False}), 409, "last_administrator")


@pytest.mark.parametrize("ident", ["0", "-1", "x", str(2**53), "1.5"])
@pytest.mark.parametrize("noun", ["users", "roles"])
async def test_odd_ids(client: Client, noun: str, ident: str) -> None:
    await client.login("admin")
    problem(await client.call("GET", f"/{noun}/{ident}"), 422, "request_invalid")


async def test_the_largest_id(client: Client) -> None:
    await client.login("admin")
    problem(await client.call("GET", f"/users/{2**53 - 1}"), 404, "user_not_found")
    problem(await client.call("GET", f"/roles/{2**53 - 1}"), 404, "role_not_found")
    problem(await client.call("DELETE", f"/tokens/{2**53 - 1}"), 404, "token_not_found")


async def test_roles_over_http(client: Client) -> None:
    await client.login("admin")
    body = {"name": "tech", "permissions": ["host:read"]}
    answer = await client.call("POST", "/roles/", json=body, headers={"Idempotency-Key": "one"})
    assert answer.status_code == 201
    role = answer.json()
    path = f"/roles/{role['id']}"
    assert answer.headers["location"] == f"/api/v1{path}"
    again = await client.call("POST", "/roles/", json=body, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()) == (201, role)
    problem(await client.call("POST", "/roles/", json=body), 409, "role_exists")
    seen = etag_of((await client.call("GET", path)).content)
    answer = await client.call("PATCH", path, json={"permissions": ["host:*"]}, headers={"If-Match": seen})
    assert answer.json()["permissions"] == ["host:*"]
    problem(await client.call("PATCH", path, json={"name": "x1"}, headers={"If-Match": seen}), 412, "changed_meanwhile")
    names = [row["name"] for row in (await client.call("GET", "/roles/?sort=name")).json()["items"]]
    assert names == ["admin", "client", "tech", "technician"]
    problem(await client.call("DELETE", "/roles/1"), 409, "role_builtin")
    assert (await client.call("DELETE", path)).status_code == 204
    problem(await client.call("GET", path), 404, "role_not_found")


async def test_permissions(client: Client) -> None:
    problem(await client.call("GET", "/permissions"), 401, "token_missing")
    await client.login("admin")
    answer = (await client.call("GET", "/permissions")).json()
    assert answer["items"] == [right.value for right in Permission]
    assert {*answer["items"], "vm:delete", "slice:power", "operation:retry"} <= set(answer["scopes"])


async def test_tokens_over_http(client: Client) -> None:
    await client.login("admin")
    body = {"name": "laptop", "scopes": ["user:read"], "expires_at": "2031-01-31T00:00:00Z"}
    answer = await client.call("POST", "/tokens/", json=body)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/tokens/{made['id']}"
    listed = (await client.call("GET", "/tokens/")).json()["items"]
    assert [row["id"] for row in listed] == [made["id"]]
    assert "token" not in listed[0]
    token = made["token"]
    assert (await client.call("GET", "/users/", token=token)).status_code == 200
    assert (await client.call("GET", "/users/me", token=token)).json()["scopes"] == ["user:read"]
    problem(await client.call("POST", "/users/", token=token, json=ANA), 403, "permission_missing")
    problem(await client.call("PATCH", "/users/me", token=token, json={"full_name": "x"}), 403, "scope_missing")
    problem(await client.call("POST", "/tokens/", token=token, json=body), 403, "session_required")
    problem(await client.call("POST", "/logout", token=token), 403, "session_required")
    assert (await client.call("DELETE", f"/tokens/{made['id']}")).status_code == 204
    problem(await client.call("GET", "/users/me", token=token), 401, "token_revoked")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scopes": []}, "request_invalid"),
        ({"scopes": ["vm:fly"]}, "unknown_permission"),
        ({"expires_at": "2031-01-31T00:00:00"}, "request_invalid"),
        ({"expires_at": 1893456000}, "request_invalid"),
        ({"expires_at": "2001-01-31T00:00:00Z"}, "token_useless"),
        ({"name": ""}, "request_invalid"),
    ],
)
async def test_tokens_that_cannot_be(client: Client, changes: dict[str, Any], code: str) -> None:
    await client.login("admin")
    body = {"name": "laptop", "scopes": ["*"], **changes}
    problem(await client.call("POST", "/tokens/", json=body), 422, code)


async def test_hashing_holds_no_unit_of_work(
    identity: Identity, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite all other writers would wait for a quarter of a second."""
    await client.login("admin")
    hash_password = identity.hasher.hash

    async def hash_while_others_write(password: str) -> str:
        async with asyncio.timeout(60), identity.uows.write() as uow:
            await uow.commit()
        return await hash_password(password)

    monkeypatch.setattr(identity.hasher, "hash", hash_while_others_write)
    answer = await client.call("POST", "/users/", json=ANA)
    assert answer.status_code == 201
    path = f"/users/{answer.json()['id']}"
    assert (await client.call("PATCH", path, json={"password": "battery staple"})).status_code == 200
    body = {"old_password": PASSWORD, "new_password": "battery staple"}
    assert (await client.call("POST", "/users/me/password", json=body)).status_code == 204


async def test_strangers_cost_no_hashing(identity: Identity, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_ana(client)
    await client.login("ana")

    async def never(_password: str) -> str:
        raise AssertionError("hashed for somebody without the right")

    monkeypatch.setattr(identity.hasher, "hash", never)
    problem(await client.call("POST", "/users/", json=ANA), 403, "permission_missing")
    problem(await client.call("POST", "/users/", token="x", json=ANA), 401, "token_invalid")
    problem(await client.call("PATCH", "/users/1", json={"password": PASSWORD}), 403, "permission_missing")


async def test_every_status_is_documented(client: Client) -> None:
    paths = client.app.openapi()["paths"]
    open_to_all = {"/api/v1/login", "/api/v1/token/refresh"}
    resets = {"/api/v1/password-resets", "/api/v1/password-resets/complete"}
    open_to_all |= resets
    for path, operations in paths.items():
        for method, operation in operations.items():
            documented = set(operation["responses"])
            assert "401" in documented or path in resets, path
            assert operation["summary"]
            assert operation["description"].endswith("."), path
            assert bool(operation.get("security")) is (path not in open_to_all), path
            if "requestBody" in operation:
                assert {"400", "413", "422"} <= documented, path
            # What has no state that could have changed meanwhile needs no If-Match.
            plain = path.startswith(("/api/v1/tokens", "/api/v1/sessions")) or path.endswith("/second-factor")
            if method in {"patch", "delete"} and not plain:
                assert "412" in documented, path
    assert "429" in paths["/api/v1/login"]["post"]["responses"]
    assert len(paths) == 21
