"""Kept lists: never older than the last write of this process, never shown to the wrong person."""

from collections.abc import AsyncIterator, Collection
from itertools import product
from typing import Any

import httpx2
import pytest

from parcela.api.dependencies import paging
from parcela.api.fast_lists.cache import KEPT_FOR_S, Answer, Key, ListCache
from parcela.core.clock import utc_now
from parcela.db.migrate import upgrade
from parcela.repositories.events import EventRecord
from parcela.services.compute.vms import VmService
from tests.integration.http.lab import ORIGIN, Lab, make_settings, open_lab

LIST = "/api/v1/virtual-machines/"


class Timer:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def event(kind: str, owner_id: int | None = None) -> list[EventRecord]:
    return [EventRecord(type=kind, at=utc_now(), owner_id=owner_id)]


def key(owner_id: int | None, query: bytes = b"") -> Key:
    return Key(LIST, owner_id, query, gzip=False)


def keep(cache: ListCache, owner_id: int | None, body: bytes = b"[]", query: bytes = b"") -> None:
    cache.put(key(owner_id, query), Answer((), body, ""), cache.version(owner_id))


def held(cache: ListCache) -> set[int | None]:
    return {owner for owner in (1, 2, None) if cache.get(key(owner))}


def filled() -> ListCache:
    cache = ListCache(Timer())
    for owner_id in (1, 2, None):
        keep(cache, owner_id)
    return cache


@pytest.mark.parametrize("kind", ["vm.state", "vm.created", "slice.changed", "operation.step"])
def test_an_owned_event_concerns_its_owner_and_those_who_see_everything(kind: str) -> None:
    cache = filled()
    cache.on_events(event(kind, owner_id=1))
    assert held(cache) == {2}


@pytest.mark.parametrize("kind", ["user.updated", "image.updated", "flavour.updated", "host.updated", "new.thing"])
def test_an_event_about_names_or_of_an_unknown_kind_concerns_everybody(kind: str) -> None:
    cache = filled()
    cache.on_events(event(kind, owner_id=1))
    assert held(cache) == set()


def test_a_vm_event_without_an_owner_concerns_everybody() -> None:
    cache = filled()
    cache.on_events(event("vm.state"))
    assert held(cache) == set()


@pytest.mark.parametrize("kind", ["auth.logged_in", "token.created", "template.updated"])
def test_events_that_no_list_shows_concern_nobody(kind: str) -> None:
    cache = filled()
    cache.on_events(event(kind, owner_id=1))
    assert held(cache) == {1, 2, None}


@pytest.mark.parametrize("kind", ["vm.state", "image.updated"])
def test_an_answer_read_before_a_write_is_not_kept_after_it(kind: str) -> None:
    cache = ListCache(Timer())
    version = cache.version(1)
    cache.on_events(event(kind, owner_id=1))
    cache.put(key(1), Answer((), b"old", ""), version)
    assert cache.get(key(1)) is None


def test_versions_do_not_come_back_after_everything_changed() -> None:
    cache = ListCache(Timer())
    cache.on_events(event("vm.state", owner_id=1))
    version = cache.version(1)
    cache.on_events(event("image.updated"))
    cache.on_events(event("vm.state", owner_id=1))
    assert cache.version(1) != version


def test_an_answer_ends_after_a_minute_whatever_happens() -> None:
    timer = Timer()
    cache = ListCache(timer)
    keep(cache, 1)
    timer.now += KEPT_FOR_S - 0.1
    assert cache.get(key(1))
    timer.now += 0.1
    assert cache.get(key(1)) is None


def test_the_least_used_answers_make_room() -> None:
    cache = ListCache(Timer(), max_bytes=100)
    keep(cache, 1, b"x" * 40, b"a")
    keep(cache, 1, b"x" * 40, b"b")
    assert cache.get(key(1, b"a"))
    keep(cache, 1, b"x" * 40, b"c")
    assert [bool(cache.get(key(1, query))) for query in (b"a", b"b", b"c")] == [True, False, True]
    keep(cache, 1, b"x" * 101, b"d")
    assert cache.get(key(1, b"d")) is None


# ---- the whole application


@pytest.fixture(scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Lab]:
    schema = tmp_path_factory.mktemp("schema") / "parcela.db"
    upgrade(f"sqlite:///{schema}")
    async with open_lab(make_settings(tmp_path_factory.mktemp("lab"), schema)) as made:
        yield made


async def listed(lab: Lab, by: str, **headers: str) -> httpx2.Response:
    answer = await lab.http.get(LIST, headers={**lab.people[by].headers, **headers})
    assert answer.status_code in {200, 304}, answer.text
    return answer


async def same_as_fresh(lab: Lab, by: str) -> list[dict[str, Any]]:
    """The list as it is given now; it has to be what an uncached one says, unless something was written between."""
    cache: ListCache = lab.app.state.lists
    while True:
        version = cache.version(None)  # every change of a VM moves it
        given = (await listed(lab, by)).json()
        fresh = (await listed(lab, by, **{"Cache-Control": "no-cache"})).json()
        if version == cache.version(None):
            break
    assert given == fresh
    items: list[dict[str, Any]] = given["items"]
    return items


@pytest.mark.anyio
async def test_a_kept_list_is_given_without_asking_the_service(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await listed(lab, "owner")
    monkeypatch.setattr(VmService, "page", None)
    after = await listed(lab, "owner")
    assert after.content == before.content
    assert after.headers["x-request-id"] != before.headers["x-request-id"]
    assert {"etag", "x-server-id", "cache-control", "x-frame-options"} <= set(after.headers)


@pytest.mark.anyio
async def test_every_step_in_the_life_of_a_vm_is_in_the_next_list(lab: Lab) -> None:
    for by in ("owner", "admin", "stranger"):
        await same_as_fresh(lab, by)
    vm_id = (await lab.vm("running"))["id"]
    path = f"/virtual-machines/{vm_id}"
    wanted: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", f"{path}/stop", {}, "stopped"),
        ("PUT", path, {"json": {"name": "renamed"}}, "stopped"),
        ("POST", f"{path}/start", {}, "running"),
        ("DELETE", path, {}, ""),
    ]
    for method, where, options, state in wanted:
        answer = await lab.call(method, where, "owner", **options)
        assert answer.status_code < 300, answer.text
        for by in ("owner", "admin"):  # at once, while the operation has hardly begun
            await same_as_fresh(lab, by)
        await lab.settle()
        for by in ("owner", "admin"):
            states = {vm["id"]: vm["status"] for vm in await same_as_fresh(lab, by)}
            assert states.get(vm_id, "") == state
        assert vm_id not in [vm["id"] for vm in await same_as_fresh(lab, "stranger")]


@pytest.mark.anyio
async def test_a_new_name_of_the_owner_is_in_the_next_list(lab: Lab) -> None:
    await lab.vm("running", by="stranger")
    await listed(lab, "stranger")
    path = f"/users/{lab.people['stranger'].id}"
    answer = await lab.call("PATCH", path, "admin", json={"username": "newname"})
    assert answer.status_code == 200, answer.text
    assert {vm["owner"] for vm in await same_as_fresh(lab, "stranger")} == {"newname"}


@pytest.mark.anyio
async def test_kept_lists_know_etags_and_compression(lab: Lab) -> None:
    await lab.vm("running")
    plain = await listed(lab, "owner", **{"Accept-Encoding": "identity"})
    for _ in range(2):
        small = await listed(lab, "owner", **{"Accept-Encoding": "gzip"})
        assert small.json() == plain.json()
        again = await listed(lab, "owner", **{"If-None-Match": plain.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == plain.headers["etag"]
    assert "content-encoding" not in (await listed(lab, "owner", **{"Accept-Encoding": "identity"})).headers


@pytest.mark.anyio
@pytest.mark.parametrize("by", ["owner", "reader"])
@pytest.mark.parametrize("encoding", ["identity", "br, gzip;q=0.5"])
@pytest.mark.parametrize("known", ["", '"no such tag"', "its own"])
async def test_a_kept_answer_says_all_that_a_fresh_one_says(lab: Lab, by: str, encoding: str, known: str) -> None:
    await lab.vm("running")
    headers = {"Accept-Encoding": encoding, "Origin": ORIGIN}
    if known:
        tag = (await listed(lab, by, **headers)).headers["etag"]
        headers["If-None-Match"] = tag if known == "its own" else known
    fresh = await listed(lab, by, **headers, **{"Cache-Control": "no-cache"})
    await listed(lab, by, **headers)
    hits = lab.app.state.lists.hits
    kept = await listed(lab, by, **headers)
    assert lab.app.state.lists.hits == hits + 1
    assert (kept.status_code, kept.content) == (fresh.status_code, fresh.content)
    # A kept 304 also says what the 200 would have said about its encoding; a fresh one was never encoded.
    unsaid = {b"vary", b"content-encoding"} if kept.status_code == 304 else set()
    assert said(kept, unsaid) == said(fresh, unsaid)
    assert kept.headers["x-request-id"] != fresh.headers["x-request-id"]
    assert int(kept.headers["ratelimit-remaining"]) < int(kept.headers["ratelimit-limit"])


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_the_quick_way_and_the_route_answer_alike(lab: Lab, encoding: str) -> None:
    for _ in range(2):
        await lab.vm("running")
    for by, query in product(("owner", "admin", "reader", None), ("", "limit=1", "limit=200", "limit=201", "limit=0")):
        headers, tag = {"Accept-Encoding": encoding, "Cache-Control": "no-cache"}, ""
        for known in ("", '"another"', "its own"):
            if known:
                headers["If-None-Match"] = tag if known == "its own" else known
            quick, routed = [
                await lab.call("GET", f"/virtual-machines/?{way}", by, headers=headers)
                for way in (query, f"{query}&sort=id".lstrip("&"))  # nothing but the limit is quick
            ]
            assert (quick.status_code, said(quick)) == (routed.status_code, said(routed))
            if quick.status_code >= 400:
                assert quick.json() | {"instance": ""} == routed.json() | {"instance": ""}
                break
            assert quick.content == routed.content
            tag = routed.headers["etag"]


@pytest.mark.anyio
async def test_the_quick_way_is_taken_and_keeps_to_scopes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    afresh = {"Cache-Control": "no-cache"}
    narrow = afresh | {"Authorization": f"Bearer {(await lab.token('owner', 'template:*'))['token']}"}
    assert (await lab.http.get(f"{LIST}?limit=7", headers=narrow)).status_code == 403
    monkeypatch.setattr(paging, "PageRequest", None)  # the route cannot do without it
    assert (await listed(lab, "owner", **afresh)).status_code == 200
    crash = await lab.http.get(f"{LIST}?sort=id", headers=afresh | lab.people["owner"].headers)
    assert crash.status_code == 500


def said(answer: httpx2.Response, unsaid: Collection[bytes] = ()) -> list[tuple[bytes, bytes]]:
    """Headers in the order of the wire, without the values that differ from request to request."""
    counted = {b"x-request-id", b"ratelimit-remaining", b"ratelimit-reset"}
    return [(name, b"" if name in counted else value) for name, value in answer.headers.raw if name not in unsaid]


@pytest.mark.anyio
async def test_queries_are_kept_apart_and_bad_ones_not_at_all(lab: Lab) -> None:
    headers = lab.people["owner"].headers
    await lab.vm("running")
    for _ in range(2):
        one = await lab.http.get(f"{LIST}?limit=1", headers=headers)
        none = await lab.http.get(f"{LIST}?name=nobody", headers=headers)
        bad = await lab.http.get(f"{LIST}?limit=0", headers=headers)
        assert (len(one.json()["items"]), none.json()["items"], bad.status_code) == (1, [], 422)


@pytest.mark.anyio
async def test_a_kept_list_lets_nobody_in(lab: Lab) -> None:
    await listed(lab, "owner")
    assert (await lab.http.get(LIST)).status_code == 401
    assert (await lab.http.get(LIST, headers={"Authorization": "Bearer nonsense"})).status_code == 401
    session = await lab.login("owner")
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    assert (await lab.http.get(LIST, headers=headers)).status_code == 200
    await lab.http.post("/api/v1/logout", headers=headers)
    assert (await lab.http.get(LIST, headers=headers)).status_code == 401
    narrow = (await lab.token("owner", "template:*"))["token"]
    for _ in range(2):
        refused = await lab.http.get(LIST, headers={"Authorization": f"Bearer {narrow}"})
        assert refused.status_code == 403
