"""Webhooks over HTTP: who may do what, what is refused, and what an answer tells."""

from typing import Any

import pytest

from tests.integration.http.lab import Lab, problem
from tests.integration.http.rights_targets import TARGETS

pytestmark = pytest.mark.anyio
URL = "https://hooks.example/parcela"


async def made(lab: Lab, by: str = "admin", **facts: Any) -> dict[str, Any]:
    return await lab.make("/webhooks/", by, json={"name": lab.unique("hook"), "url": URL} | facts)


async def creator(lab: Lab) -> str:
    """Somebody who may make webhooks and nothing else; their key of ``people``."""
    role = await lab.make(
        "/roles/", "admin", json={"name": lab.unique("role"), "permissions": ["webhook:create", "slice:create"]}
    )
    user = await lab.user(role=role["name"])
    await lab.enter(user["username"], user["username"], user["id"])
    return str(user["username"])


async def test_the_secret_is_told_once(lab: Lab) -> None:
    hook = await made(lab)
    assert hook["secret"].startswith("whsec_")
    read = await lab.call("GET", f"/webhooks/{hook['id']}", "admin")
    assert "secret" not in read.json()
    assert "salt" not in read.json()
    listed = (await lab.call("GET", "/webhooks/", "admin")).json()["items"]
    assert all("secret" not in one and "salt" not in one for one in listed)


async def test_rotation_gives_another_secret(lab: Lab) -> None:
    hook = await made(lab)
    rotated = await lab.call("POST", f"/webhooks/{hook['id']}/rotate-secret", "admin")
    assert rotated.status_code == 200
    assert rotated.json()["secret"] not in {hook["secret"], ""}


async def test_owners_see_their_own(lab: Lab) -> None:
    one, two = await creator(lab), await creator(lab)
    hook = await made(lab, one)
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/1/resend"),
    ):
        options = {"json": {"name": "stolen"}} if method == "PATCH" else {}
        answer = await lab.call(method, f"/webhooks/{hook['id']}{path}", two, **options)
        problem(answer, 404, "webhook_not_found")
    assert (await lab.call("GET", "/webhooks/", two)).json()["items"] == []
    assert [item["id"] for item in (await lab.call("GET", "/webhooks/", one)).json()["items"]] == [hook["id"]]


async def test_a_delivery_of_another_webhook_is_not_found(lab: Lab) -> None:
    theirs = await TARGETS["webhook_delivery"](lab)
    hook = await made(lab)
    answer = await lab.call("POST", f"/webhooks/{hook['id']}/deliveries/{theirs['id']}/resend", "admin")
    problem(answer, 404, "delivery_not_found")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example/", "webhook_url_invalid"),
        ("https://127.0.0.1/", "webhook_address_refused"),
        ("https://169.254.169.254/latest/meta-data", "webhook_address_refused"),
        ("https://me:secret@hooks.example/", "webhook_url_invalid"),
        ("https://127.1/", "webhook_address_refused"),
        ("https://0x7f.1:8443/", "webhook_address_refused"),
        ("https://2130706433/", "webhook_address_refused"),
        ("https://0177.0.0.1/", "webhook_address_refused"),
        ("https://[::ffff:0:127.0.0.1]/", "webhook_address_refused"),
        ("https://[::ffff:7f00:1]/", "webhook_address_refused"),
        ("https://[::]:443/", "webhook_address_refused"),
        ("https://LocalHost.:443/", "webhook_address_refused"),
        ("https://[64:ff9b::a9fe:a9fe]/", "webhook_address_refused"),
        ("https://metadata.internal/", "webhook_address_refused"),
        ("https://%31%32%37.0.0.1/", "webhook_url_invalid"),
        ("https://127.0.0.1\\@hooks.example/", "webhook_url_invalid"),
        ("https://[v1.hooks]/", "webhook_url_invalid"),
        ("https://\N{CIRCLED DIGIT ONE}27.0.0.1/", "request_invalid"),
    ],
)
async def test_addresses_are_checked_when_they_are_given(lab: Lab, url: str, code: str) -> None:
    answer = await lab.call("POST", "/webhooks/", "admin", json={"name": "bad", "url": url})
    problem(answer, 422, code)
    hook = await made(lab)
    problem(await lab.call("PATCH", f"/webhooks/{hook['id']}", "admin", json={"url": url}), 422, code)
    assert (await lab.call("GET", f"/webhooks/{hook['id']}", "admin")).json()["url"] == URL
    await lab.call("DELETE", f"/webhooks/{hook['id']}", "admin")


@pytest.mark.parametrize("types", [["VM"], ["vm"], ["vm."], ["*.*"], [""], ["vm.state "]])
async def test_types_are_checked(lab: Lab, types: list[str]) -> None:
    body = {"name": "bad", "url": URL, "event_types": types}
    problem(await lab.call("POST", "/webhooks/", "admin", json=body), 422, "request_invalid")


async def test_there_is_a_limit(lab: Lab) -> None:
    who = await creator(lab)
    for _ in range(lab.services.settings.webhooks_per_user):
        await made(lab, who)
    answer = await lab.call("POST", "/webhooks/", who, json={"name": "more", "url": URL})
    problem(answer, 409, "too_many_webhooks")


async def test_an_inactive_one_resends_nothing(lab: Lab) -> None:
    hook = await TARGETS["webhook_delivery"](lab)
    await lab.call("PATCH", f"/webhooks/{hook['id']}", "owner", json={"is_active": False})
    answer = await lab.call("POST", f"/webhooks/{hook['id']}/deliveries/{hook['id']}/resend", "owner")
    problem(answer, 409, "webhook_inactive")


async def test_a_change_of_a_version_that_is_gone(lab: Lab) -> None:
    hook = await made(lab)
    tag = (await lab.call("GET", f"/webhooks/{hook['id']}", "admin")).headers["etag"]
    path = f"/webhooks/{hook['id']}"
    assert (await lab.call("PATCH", path, "admin", json={"name": "a"}, headers={"If-Match": tag})).status_code == 200
    problem(
        await lab.call("PATCH", path, "admin", json={"name": "b"}, headers={"If-Match": tag}), 412, "changed_meanwhile"
    )


async def test_deleting_takes_the_deliveries_along(lab: Lab) -> None:
    hook = await TARGETS["webhook_delivery"](lab)
    assert (await lab.call("DELETE", f"/webhooks/{hook['id']}", "owner")).status_code == 204
    async with lab.services.uows.read() as uow:
        assert await uow.webhook_deliveries.get_or_none(hook["id"]) is None
