"""Invitations in a real browser: told on the first page, accepted, declined, left."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.tab import Tab
from tests.browser.test_pages import check


@pytest.mark.parametrize("locale", ["en", "es"])
def test_an_invitation_is_accepted_and_the_project_left(tab: Callable[..., Tab], server: Server, locale: str) -> None:
    name = server.user(locale)
    with server.admin() as api:
        projects = [api.post("/api/v1/projects/", json={"name": f"{word} {name}"}).json() for word in ("Nets", "Spam")]
        for project in projects:
            path, body = f"/api/v1/projects/{project['id']}/invitations", {"email": f"{name}@class.example"}
            assert api.post(path, json=body).status_code == 201
    one = tab(locale)
    page, t = one.page, one.t
    one.sign_in(name)
    expect(page.get_by_role("heading", name=t("invitation.title"))).to_be_visible()
    check(page, locale)
    page.get_by_role("button", name=f"{t('invitation.accept')} Nets {name}").click()
    expect(page.get_by_role("button", name=f"{t('project.leave')} Nets {name}")).to_be_visible()
    page.get_by_role("button", name=f"{t('invitation.decline')} Spam {name}").click()
    expect(page.get_by_role("heading", name=t("invitation.title"))).to_have_count(0)
    with server.admin() as api:
        counts = {row["name"]: row["members"] for row in api.get("/api/v1/projects/?limit=200").json()["items"]}
    assert (counts[f"Nets {name}"], counts[f"Spam {name}"]) == (1, 0)
    page.get_by_role("button", name=re.compile(f"^{t('project.leave')}")).click()
    expect(page.get_by_role("heading", name=t("project.mine"))).to_have_count(0)
    check(page, locale)


def test_the_link_of_a_mail_that_went_elsewhere(tab: Callable[..., Tab], server: Server) -> None:
    one = tab(locale="es")
    one.expected.add(422)
    one.page.goto("/invitations/confirm?token=wrong")
    one.sign_in(server.user("es"))
    one.page.get_by_role("button", name=one.t("invitation.confirm.do")).click()
    expect(one.page.get_by_text(one.t("error.invitation_token_invalid"))).to_be_visible()
