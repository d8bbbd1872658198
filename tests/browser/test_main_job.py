"""The main job, as a student does it: sign in, launch, watch, use a console, reset, give back, sign out."""

import re
from collections.abc import Callable
from uuid import UUID

import httpx2
import pytest
from playwright.sync_api import WebSocketRoute, expect

from parcela.hypervisors.simulated import Failure
from tests.browser.server import Server
from tests.browser.tab import Tab

Tabs = Callable[..., Tab]


@pytest.mark.parametrize("locale", ["en", "es"])
def test_the_main_job(tab: Tabs, server: Server, locale: str) -> None:
    student = tab(locale)
    page, t = student.page, student.t
    page.goto("/")
    expect(page).to_have_url(re.compile("/login$"))
    student.sign_in(server.user(locale))
    expect(page.get_by_text(t("home.no_slices"))).to_be_visible()

    gate = server.world.faults.block("start_vm", times=None)  # so that there is something to watch
    try:
        page.get_by_role("button", name=f"{t('action.launch')} First lab").click()
        page.wait_for_url(re.compile(r"/slices/\d+$"))
        path = page.url
        made = page.locator(".step", has_text=t("step.create_vm", name="client"))
        expect(made).to_contain_text(t("step.state.done"))
        expect(page.locator(".step", has_text=t("step.boot_vm", name="client"))).not_to_contain_text(
            t("step.state.done")
        )
        expect(page.get_by_text(t("slice.now.deploying"))).to_be_visible()
    finally:
        gate.release()
    student.expect_state("running")
    server.world.faults.clear()
    expect(page.get_by_text(t("slice.now.running"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^client")).get_by_text("10.0.1.2/24")).to_be_visible()
    expect(page.locator("#announce")).to_contain_text(t("slice.state.running"))
    page.goto("/")
    expect(page.get_by_role("row", name=re.compile("First lab"))).to_contain_text(t("slice.state.running"))
    page.goto(path)

    page.get_by_role("link", name=f"{t('vm.console')} client").or_(
        page.get_by_role("button", name=f"{t('vm.console')} client")
    ).click()
    expect(page.get_by_text(t("console.connected.serial"))).to_be_visible()
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("PARCELA READY")
    page.keyboard.type("hostname\n")
    expect(rows).to_have_text(re.compile(r"hostname\s*client"))
    page.get_by_role("link", name=t("console.back")).click()

    student.press("action.reset")
    expect(page.get_by_role("heading", level=1)).to_have_text(t("confirm.slice.reset.title", name="First lab"))
    student.press("confirm.slice.reset.do")
    expect(page.get_by_text(t("operation.last", title=t("operation.slice.reset")))).to_be_visible()
    student.expect_state("running")

    student.press("action.destroy")
    student.press("confirm.slice.destroy.do")
    student.expect_state("destroyed")
    student.press("error.home")
    expect(page.get_by_text(t("home.no_slices"))).to_be_visible()
    student.press("nav.sign_out")
    expect(page.get_by_text(t("notice.signed_out"))).to_be_visible()
    page.goto(path)
    expect(page).to_have_url(re.compile(r"/login\?next=/slices/\d+$"))


def test_stop_start_suspend_resume_and_one_machine(tab: Tabs, server: Server) -> None:
    student = tab()
    page = student.page
    student.sign_in(server.user())
    student.launch()
    page.locator("#do-suspend").click()
    student.expect_state("paused")
    page.locator("#do-resume").click()
    student.expect_state("running")
    page.locator("#do-stop").click()
    student.expect_state("stopped")
    page.locator("#do-start").click()
    student.expect_state("running")
    row = page.get_by_role("row", name=re.compile("^client"))
    row.get_by_role("button", name="Stop").click()
    expect(row.locator(".badge")).to_have_text("Off")
    row.get_by_role("button", name="Start").click()
    expect(row.locator(".badge")).to_have_text("Running")
    row.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Reset this machine").click()
    expect(page.get_by_text("Last: Resetting a machine")).to_be_visible()


def test_a_student_extends_a_slice(tab: Tabs, server: Server) -> None:
    student = tab()
    student.sign_in(server.user())
    with server.clock.stopped():  # else what is left depends on how long it took to get here
        student.launch()
        expect(student.page.get_by_text("ends in 8 h")).to_be_visible()
        student.page.locator("#hours").select_option("72")
        student.page.locator("#do-extend").click()
        expect(student.page.get_by_text("ends in 3 d")).to_be_visible()


def test_what_somebody_opened_or_chose_outlives_the_news(tab: Tabs, server: Server) -> None:
    student = tab()
    page = student.page
    student.sign_in(server.user())
    path = student.launch()
    page.locator("#operation-details summary").click()
    page.locator("#hours").select_option("72")
    with server.clock.stopped(), server.admin() as api:
        assert api.post(f"/api/v1{path}/extend", json={"expires_in_s": 5 * 3600}).status_code == 200
        expect(page.get_by_text("ends in 5 h")).to_be_visible()
    expect(page.locator("#hours")).to_have_value("72")
    expect(page.locator("#operation-details .step").first).to_be_visible()


def test_news_take_no_button_away_from_under_a_click(tab: Tabs, server: Server) -> None:
    student = tab()
    page = student.page
    student.sign_in(server.user())
    path = student.launch()
    button = page.locator("#do-stop")
    button.hover()
    page.mouse.down()
    held = button.element_handle()
    with page.expect_response(lambda answer: answer.url.endswith(path)) as asked, server.admin() as api:
        assert api.post(f"/api/v1{path}/extend", json={"expires_in_s": 3600}).status_code == 200
    asked.value.finished()
    page.mouse.up()
    student.expect_state("stopped")
    assert not held.evaluate("button => button.isConnected"), "and then they come"


def test_a_launch_that_fails_says_what_now(tab: Tabs, server: Server) -> None:
    student = tab("es")
    page, t = student.page, student.t
    student.sign_in(server.user("es"))
    server.world.faults.fail("create_vm", vm="router", failure=Failure.FATAL)
    try:
        page.goto("/")
        student.press("action.launch")
        student.expect_state("error")
    finally:
        server.world.faults.clear()
    expect(page.get_by_text(t("slice.now.error"))).to_be_visible()
    expect(page.get_by_text(t("slice.trouble"))).to_be_visible()
    expect(page.locator(".step", has_text=t("step.create_vm", name="client"))).to_contain_text(t("step.state.undone"))
    page.get_by_text(t("error.details")).click()
    expect(page.get_by_text("create_vm of router cannot work")).to_be_visible()
    page.locator("#do-deploy").click()
    student.expect_state("running")


def test_a_machine_that_crashes_shows_without_a_reload(tab: Tabs, server: Server) -> None:
    student = tab()
    page = student.page
    student.sign_in(server.user())
    path = student.launch()
    with server.admin() as api:
        vms = api.get(f"/api/v1{path}/vms").json()
    server.world.crash_vm(next(UUID(vm["uuid"]) for vm in vms if vm["name"] == "server"))
    student.expect_state("degraded")
    expect(page.get_by_text("The machine “server” has a problem.")).to_be_visible()
    page.locator("#do-start").click()
    student.expect_state("running")


def test_a_busy_slice_refuses_in_words_and_in_place(tab: Tabs, server: Server) -> None:
    student = tab()
    student.expected = {409}
    student.sign_in(server.user())
    path = student.launch()
    page = student.page
    # Somebody else was faster: the buttons of this page are out of date.
    with student.without_news(), server.admin() as api:
        page.reload()
        gate = server.world.faults.block("shut_down", times=None)
        try:
            assert api.post(f"/api/v1{path}/stop").status_code == 202
            page.locator("#do-reboot").click()
            expect(page.locator("#messages")).to_contain_text("Not possible right now")
        finally:
            gate.release()
            server.world.faults.clear()


def test_a_console_says_why_it_ended_and_comes_back(tab: Tabs, server: Server) -> None:
    student = tab()
    page, t = student.page, student.t
    student.expected = {409}
    student.sign_in(server.user())
    path = student.launch()
    page.locator("a[id^=console-]").first.click()
    expect(page.get_by_text(t("console.connected.serial"))).to_be_visible()
    with server.admin() as api:
        assert api.post(f"/api/v1{path}/stop").status_code == 202
    expect(page.get_by_text(t("console.ended"))).to_be_visible()
    reconnect = page.get_by_role("button", name=t("console.reconnect"))
    expect(reconnect).to_be_focused()
    with server.admin() as api:
        wait_for_state(api, path, "stopped")
        reconnect.click()
        expect(page.get_by_text(t("console.off"))).to_be_visible()
        assert api.post(f"/api/v1{path}/start").status_code == 202
        wait_for_state(api, path, "running")
    reconnect.click()
    expect(page.get_by_text(t("console.connected.serial"))).to_be_visible()
    expect(page.locator(".xterm-rows")).to_contain_text("PARCELA READY")


def wait_for_state(api: httpx2.Client, path: str, state: str) -> None:
    """Follow the events until the slice is in a state."""
    only = {"since": "0", "slice_id": path.rpartition("/")[2]}
    with api.stream("GET", "/api/v1/events/stream", params=only) as events:
        for line in events.iter_lines():
            if line.startswith("data:") and api.get(f"/api/v1{path}").json()["state"] == state:
                return


def test_the_screen_of_a_machine(tab: Tabs, server: Server) -> None:
    student = tab()
    page, t = student.page, student.t
    student.sign_in(server.user())
    student.launch()
    page.locator("a[id^=console-]").first.click()
    page.get_by_role("link", name=t("console.kind.vnc")).click()
    expect(page.get_by_text(t("console.connected.vnc"))).to_be_visible()
    expect(page.locator("#console canvas")).to_be_visible()


def test_a_console_in_all_colours_keeps_to_the_policy(tab: Tabs, server: Server) -> None:
    student = tab()
    page = student.page
    student.sign_in(server.user())
    student.launch()

    def guest(socket: WebSocketRoute) -> None:
        socket.send(b"\x1b[38;2;250;10;20mscarlet\x1b[0m \x1b[7minverse\x1b[0m \x1b[38;5;208morange\x1b[0m")

    page.route_web_socket(re.compile("/console/serial"), guest)
    page.locator("a[id^=console-]").first.click()
    expect(page.locator(".xterm-rows span", has_text="scarlet").first).to_have_css("color", "rgb(250, 10, 20)")


def test_the_terminal_follows_the_window(tab: Tabs, server: Server) -> None:
    student = tab(viewport={"width": 1200, "height": 800})
    page = student.page
    student.sign_in(server.user())
    student.launch()
    page.locator("a[id^=console-]").first.click()
    expect(page.get_by_text(student.t("console.connected.serial"))).to_be_visible()  # and fitted before
    rows = page.locator(".xterm-rows > div")
    expect(rows.first).to_be_attached()
    before = rows.count()
    page.set_viewport_size({"width": 600, "height": 400})
    expect(rows).not_to_have_count(before)
    page.wait_for_function("document.documentElement.scrollHeight <= innerHeight")
