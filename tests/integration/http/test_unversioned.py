"""``If-Match`` is never ignored: where nothing has versions, a write that is bound to one is refused."""

import pytest

from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio


async def test_members_and_invitations(lab: Lab) -> None:
    project = await lab.invitation()
    member = f"/projects/{project['id']}/members/{project['user_id']}"
    invitation = f"/projects/{project['id']}/invitations/{project['invitation_id']}"
    for header in ('"nope"', 'W/"nope"', '"a", "b"'):
        seen = {"If-Match": header}
        problem(await lab.call("PATCH", member, "admin", json={"role": "member"}, headers=seen), 412, "no_versions")
        problem(await lab.call("DELETE", member, "admin", headers=seen), 412, "no_versions")
        problem(await lab.call("DELETE", invitation, "admin", headers=seen), 412, "no_versions")
    listed = (await lab.call("GET", f"/projects/{project['id']}/members", "admin")).json()
    assert [row["role"] for row in listed] == ["viewer"]
    assert (await lab.call("DELETE", invitation, "admin", headers={"If-Match": "*"})).status_code == 204


async def test_older_apis_which_give_no_tags(lab: Lab) -> None:
    made = await lab.user()
    headers = {**lab.people["admin"].headers, "If-Match": '"nope"'}
    answer = await lab.http.put(f"/users/{made['id']}", json={"name": "Other"}, headers=headers)
    assert answer.status_code == 412, answer.text
    assert (await lab.call("GET", f"/users/{made['id']}", "admin")).json()["full_name"] == made["full_name"]


async def test_a_weak_tag_is_no_version_that_was_seen(lab: Lab) -> None:
    made = await lab.user()
    path, change = f"/users/{made['id']}", {"full_name": "Other"}
    tag = (await lab.call("GET", path, "admin")).headers["etag"]
    for weak in (f"W/{tag}", f'"x", W/{tag}'):
        answer = await lab.call("PATCH", path, "admin", json=change, headers={"If-Match": weak})
        problem(answer, 412, "changed_meanwhile")
    assert (await lab.call("GET", path, "admin", headers={"If-None-Match": f"W/{tag}"})).status_code == 304
    assert (await lab.call("PATCH", path, "admin", json=change, headers={"If-Match": tag})).status_code == 200
