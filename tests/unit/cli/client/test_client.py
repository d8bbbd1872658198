"""Tokens, refresh, retries and pages of the client."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx2
import pytest

from parcela.cli.client.client import PAUSES_S, find_place
from parcela.cli.client.credentials import DEFAULT_URL, CredentialFile, Login
from parcela.cli.commands.actions import Act, _run
from parcela.cli.declare import Cli
from parcela.cli.exits import CliError, Exit
from parcela.cli.output import Output
from tests.unit.cli.support import URL, fake_api, problem


def bearer(request: httpx2.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def refreshing(request: httpx2.Request) -> httpx2.Response:
    """A server to which only ``access-2`` is not expired."""
    if request.url.path == "/api/v1/token/refresh":
        assert bearer(request) == ""
        if json.loads(request.content) != {"refresh_token": "refresh-1"}:
            return problem(401, "token_reused")
        return httpx2.Response(200, json={"access_token": "access-2", "refresh_token": "refresh-2"})
    return httpx2.Response(200, json={"ok": 1}) if bearer(request) == "access-2" else problem(401, "token_expired")


def test_what_is_forced_is_said_in_the_query(tmp_path: Path) -> None:
    seen: list[httpx2.URL] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url)
        return httpx2.Response(202, json={"id": 1})

    act = Act("stop", "is stopped", "Stop it.", can_force=True)
    with fake_api(tmp_path, answer) as (api, _pauses):
        cli = Cli(Output(as_json=True), _api=api)
        for force in (True, False):
            _run(cli, act, "VM", "/virtual-machines", {"id": 7, "name": "web"}, wait=False, force=force)
        api.change("DELETE", "/images/3", force="true")
    assert [(url.path.removeprefix("/api/v1"), url.query) for url in seen] == [
        ("/virtual-machines/7/stop", b"force=true"),
        ("/virtual-machines/7/stop", b""),
        ("/images/3", b"force=true"),
    ]


def test_an_expired_token_is_renewed_and_saved(tmp_path: Path) -> None:
    with fake_api(tmp_path, refreshing) as (api, pauses):
        assert api.get("/zones/") == {"ok": 1}
    assert pauses == []
    assert CredentialFile(tmp_path / "cli.json").read().servers[URL] == Login("ana@lab.test", "access-2", "refresh-2")


def test_tokens_that_another_command_renewed_are_taken_over(tmp_path: Path) -> None:
    with fake_api(tmp_path, refreshing) as (api, _pauses):
        assert api.place.url == URL
        api._token()
        CredentialFile(tmp_path / "cli.json").keep(URL, Login("ana@lab.test", "access-2", "refresh-2"))
        assert api.get("/zones/") == {"ok": 1}


def test_a_session_that_ended_says_to_log_in(tmp_path: Path) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return problem(401, "token_revoked" if "refresh" in request.url.path else "token_expired")

    with fake_api(tmp_path, answer) as (api, _pauses), pytest.raises(CliError, match="parcela login") as caught:
        api.get("/zones/")
    assert (caught.value.code, caught.value.problem["code"]) == (Exit.NOT_LOGGED_IN, "session_ended")


def test_a_fixed_token_is_never_renewed(tmp_path: Path) -> None:
    with fake_api(tmp_path, refreshing, token="personal") as (api, _pauses), pytest.raises(CliError) as caught:
        api.get("/zones/")
    assert caught.value.problem["code"] == "token_expired"


def test_without_a_session_nothing_is_sent(tmp_path: Path) -> None:
    saved = CredentialFile(tmp_path / "cli.json")
    saved.keep("http://other.test", Login("ana@lab.test", "secret", "secret"))

    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise AssertionError("sent")

    with fake_api(tmp_path, answer) as (api, _pauses), pytest.raises(CliError) as caught:
        api.get("/zones/")
    assert caught.value.code is Exit.NOT_LOGGED_IN


class Failing:
    """Fails so many times before it answers; remembers the requests."""

    def __init__(self, times: int, failure: Callable[[httpx2.Request], httpx2.Response]) -> None:
        self.left = times
        self.failure = failure
        self.seen: list[Mapping[str, str]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(dict(request.headers))
        self.left -= 1
        return self.failure(request) if self.left >= 0 else httpx2.Response(201, json={"id": 1})


def broken(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadError("reset by peer", request=request)


def refused(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("refused", request=request)


def unavailable(_request: httpx2.Request) -> httpx2.Response:
    return problem(503, "starting")


@pytest.mark.parametrize("failure", [broken, refused, unavailable])
def test_reading_is_tried_again(tmp_path: Path, failure: Callable[[httpx2.Request], httpx2.Response]) -> None:
    server = Failing(3, failure)
    with fake_api(tmp_path, server) as (api, pauses):
        assert api.get("/zones/1") == {"id": 1}
    assert pauses == list(PAUSES_S)


@pytest.mark.parametrize(("failure", "code"), [(broken, 9), (refused, 9), (unavailable, 9)])
def test_in_the_end_it_gives_up(
    tmp_path: Path, failure: Callable[[httpx2.Request], httpx2.Response], code: int
) -> None:
    with fake_api(tmp_path, Failing(99, failure)) as (api, pauses), pytest.raises(CliError) as caught:
        api.get("/zones/1")
    assert caught.value.code == code
    assert len(pauses) == len(PAUSES_S)


def test_a_creation_is_tried_again_with_the_same_key(tmp_path: Path) -> None:
    server = Failing(2, broken)
    with fake_api(tmp_path, server) as (api, _pauses):
        assert api.create("/slices/", {"template_id": 1}) == {"id": 1}
        assert api.create("/slices/", {"template_id": 1}) == {"id": 1}
    keys = [headers["idempotency-key"] for headers in server.seen]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_other_writing_is_tried_again_only_when_it_was_not_sent(tmp_path: Path) -> None:
    with fake_api(tmp_path, Failing(1, refused)) as (api, _pauses):
        assert api.post("/slices/1/start") == {"id": 1}
    server = Failing(1, broken)
    with fake_api(tmp_path, server) as (api, _pauses), pytest.raises(CliError):
        api.post("/slices/1/start")
    assert len(server.seen) == 1


def test_retry_after_is_respected_within_limits(tmp_path: Path) -> None:
    def busy(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(503, headers={"Retry-After": "3"}, json={"detail": "Wait.", "code": "busy"})

    with fake_api(tmp_path, Failing(1, busy)) as (api, pauses):
        api.get("/zones/1")
    assert pauses == [3.0]


def test_pages_are_put_together(tmp_path: Path) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        start = int(request.url.params.get("cursor", "0"))
        size = min(int(request.url.params["limit"]), 3)
        items = [{"id": number} for number in range(start, min(start + size, 7))]
        end = start + len(items)
        return httpx2.Response(200, json={"items": items, "next_cursor": str(end) if end < 7 else None})

    with fake_api(tmp_path, answer) as (api, _pauses):
        assert [row["id"] for row in api.pages("/vms/")] == list(range(7))
        assert [row["id"] for row in api.pages("/vms/", 5)] == list(range(5))


def test_a_stranger_at_the_address_is_noticed(tmp_path: Path) -> None:
    answer = httpx2.Response(200, text="<html>")
    with fake_api(tmp_path, lambda _request: answer) as (api, _pauses), pytest.raises(CliError) as caught:
        api.get("/zones/")
    assert caught.value.problem["code"] == "not_parcela"


def test_which_server(tmp_path: Path) -> None:
    saved = CredentialFile(tmp_path / "cli.json")
    assert find_place(None, {}, saved).url == DEFAULT_URL
    saved.keep("http://saved.test", Login("a", "b", "c"))
    assert find_place(None, {}, saved).url == "http://saved.test"
    environ = {"PARCELA_URL": "env.test/", "PARCELA_TOKEN": "t"}
    assert find_place(None, environ, saved).url == "http://env.test"
    assert find_place("http://option.test", environ, saved).url == "http://option.test"
    assert find_place(None, environ, saved).token == "t"
