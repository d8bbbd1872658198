"""What somebody removed left behind is not the next one's: no id comes back."""

import pytest

from tests.integration.http.lab import Lab

pytestmark = pytest.mark.anyio


async def _listed(lab: Lab, by: str) -> list[int]:
    answer = await lab.call("GET", "/events?limit=1000", by)
    assert answer.status_code == 200, answer.text
    return [event["id"] for event in answer.json()["items"]]


async def test_a_new_user_does_not_read_the_events_of_a_deleted_one(lab: Lab) -> None:
    old = await lab.user()
    await lab.enter("old", old["username"], old["id"])
    await lab.token("old")
    theirs = await _listed(lab, "old")
    assert len(theirs) >= 2, "a login and a token"
    gone = await lab.call("DELETE", f"/users/{old['id']}", "admin")
    assert gone.status_code == 204, gone.text
    new = await lab.user()
    assert new["id"] > old["id"]
    await lab.enter("new", new["username"], new["id"])
    seen = await _listed(lab, "new")
    assert seen, "their own login"
    assert not set(seen) & set(theirs)
    assert min(seen) > max(theirs)


@pytest.mark.parametrize("noun", ["flavour", "zone", "role", "template", "image", "project", "host"])
async def test_what_was_deleted_has_no_successor_of_its_id(lab: Lab, noun: str) -> None:
    made = await getattr(lab, noun)()
    by = "owner" if noun in {"template", "image"} else "admin"
    gone = await lab.call("DELETE", f"/{noun}s/{made['id']}", by)
    assert gone.status_code == 204, gone.text
    again = await getattr(lab, noun)()
    assert again["id"] > made["id"]
