from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from parcela.api.etags import etag_of
from parcela.api.routers import flavours, hosts, zones
from parcela.repositories.hosts import Claim
from parcela.services.access import Caller
from tests.integration.catalogue.support import ADMIN, ALICE, NOBODY, OPERATOR, Lab, open_client, open_lab, problem
from tests.integration.catalogue.world import make_image, make_slice, make_vm, make_zone

pytestmark = pytest.mark.anyio
NEW_HOST = {"name": "node1", "zone_id": 1, "vcpus": 4, "memory_mib": 8192, "disk_gib": 100}


async def test_flavours_are_listed_created_changed_and_removed(lab: Lab) -> None:
    async with open_client(lab, flavours.router) as client:
        seeded = (await client.call("GET", "/flavours/", ALICE)).json()
        assert [item["name"] for item in seeded["items"]][:2] == ["tiny", "nano"]
        body = {"name": "huge", "vcpus": 32, "memory_mib": 65536, "disk_gib": 100}
        made = await client.call("POST", "/flavours/", ADMIN, json=body)
        assert made.status_code == 201
        where = made.headers["location"].removeprefix("/api/v1")
        assert (await client.call("GET", where, ALICE)).json() == made.json()
        problem(await client.call("POST", "/flavours/", ADMIN, json=body), 409, "flavour_exists")
        changed = await client.call("PATCH", where, json={"vcpus": 24})
        assert changed.json() == made.json() | {"vcpus": 24}
        assert (await client.call("DELETE", where)).status_code == 204
        problem(await client.call("GET", where), 404, "flavour_not_found")
    async with lab.uows.read() as uow:
        types = [event.type for event in await uow.events.since(0, limit=10)]
    assert types == ["flavour.created", "flavour.updated", "flavour.deleted"]


async def test_lists_are_sorted_filtered_and_paged(lab: Lab) -> None:
    async with open_client(lab, flavours.router) as client:
        names: list[str] = []
        params: dict[str, str | int] = {"limit": 3, "sort": "-memory_mib"}
        while True:
            page = (await client.call("GET", "/flavours/", params=params)).json()
            names += [item["name"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        assert names == ["xlarge", "large", "medium", "small", "micro", "mini", "nano", "tiny"]
        one = await client.call("GET", "/flavours/", params={"name": "small"})
        assert [item["name"] for item in one.json()["items"]] == ["small"]
        problem(await client.call("GET", "/flavours/", params={"sort": "secret"}), 422, "bad_sort")
        problem(await client.call("GET", "/flavours/", params={"name": "\x00"}), 422, "request_invalid")


@pytest.mark.parametrize("caller", [ALICE, NOBODY])
async def test_writing_needs_the_right(lab: Lab, caller: Caller) -> None:
    async with open_client(lab, flavours.router, zones.router, hosts.router) as client:
        for path in ("/flavours/", "/zones/", "/hosts/"):
            body = {"name": "x", "vcpus": 1, "memory_mib": 64, "disk_gib": 1, "zone_id": 1, "provider": "simulated"}
            fields = {
                "/flavours/": ("name", "vcpus", "memory_mib", "disk_gib"),
                "/zones/": ("name", "provider"),
                "/hosts/": ("name", "vcpus", "memory_mib", "disk_gib", "zone_id"),
            }[path]
            sent = {field: body[field] for field in fields}
            answer = await client.call("POST", path, caller, json=sent)
            problem(answer, 403, "permission_missing")
            problem(await client.call("DELETE", f"{path}1"), 403, "permission_missing")
        problem(await client.call("GET", "/hosts/"), 403, "permission_missing")


@pytest.mark.parametrize(
    "change",
    [
        {"vcpus": 0},
        {"vcpus": None},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "../x"},
        {"disk_gib": 2**63},
        {"owner": 1},
        {"name": "a" * 65},
    ],
)
async def test_bad_values_are_refused(lab: Lab, change: dict[str, object]) -> None:
    async with open_client(lab, flavours.router) as client:
        problem(await client.call("PATCH", "/flavours/1", json=change), 422, "request_invalid")


async def test_ids_beyond_the_database_are_refused(lab: Lab) -> None:
    async with open_client(lab, flavours.router, zones.router, hosts.router) as client:
        for path in ("/flavours", "/zones", "/hosts"):
            for row_id in (0, -1, 2**53, 2**63, 10**30):
                problem(await client.call("GET", f"{path}/{row_id}"), 422, "request_invalid")
            assert (await client.call("GET", f"{path}/{2**53 - 1}")).status_code == 404


async def test_if_match_guards_changes(lab: Lab) -> None:
    async with open_client(lab, flavours.router) as client:
        seen = etag_of((await client.call("GET", "/flavours/1")).content)
        fresh = await client.call("PATCH", "/flavours/1", json={"disk_gib": 2}, headers={"If-Match": seen})
        assert fresh.status_code == 200
        stale = await client.call("PATCH", "/flavours/1", json={"disk_gib": 3}, headers={"If-Match": seen})
        problem(stale, 412, "changed_meanwhile")
        problem(await client.call("DELETE", "/flavours/1", headers={"If-Match": seen}), 412, "changed_meanwhile")


async def test_a_repeated_creation_gives_the_first_answer(lab: Lab) -> None:
    body = {"name": "huge", "vcpus": 32, "memory_mib": 65536, "disk_gib": 100}
    key = {"Idempotency-Key": "k-1"}
    async with open_client(lab, flavours.router) as client:
        first = await client.call("POST", "/flavours/", json=body, headers=key)
        again = await client.call("POST", "/flavours/", json=body, headers=key)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        other = await client.call("POST", "/flavours/", json=body | {"name": "other"}, headers=key)
        problem(other, 409, "idempotency_key_reused")
        # Another user's key is another key.
        theirs = await client.call("POST", "/flavours/", _as_user(2), json=body, headers=key)
        problem(theirs, 409, "flavour_exists")


async def test_a_failed_creation_is_not_kept_and_an_old_key_is_free(lab: Lab) -> None:
    body = {"name": "small", "vcpus": 32, "memory_mib": 65536, "disk_gib": 100}
    key = {"Idempotency-Key": "k-1"}
    async with open_client(lab, flavours.router) as client:
        problem(await client.call("POST", "/flavours/", json=body, headers=key), 409, "flavour_exists")
        assert (await client.call("POST", "/flavours/", json=body | {"name": "s2"}, headers=key)).status_code == 201
        lab.clock.now += timedelta(days=1, seconds=1)
        assert (await client.call("POST", "/flavours/", json=body | {"name": "s3"}, headers=key)).status_code == 201
        for bad in ("", "x" * 129, "tab\there"):
            answer = await client.call("POST", "/flavours/", json=body, headers={"Idempotency-Key": bad})
            problem(answer, 422, "request_invalid")


async def test_hosts_get_limits_and_keep_what_is_in_use(lab: Lab) -> None:
    async with open_client(lab, zones.router, hosts.router) as client:
        zone = await client.call("POST", "/zones/", OPERATOR, json={"name": "lab 1", "provider": "simulated"})
        assert zone.status_code == 201
        problem(await client.call("POST", "/hosts/", json=NEW_HOST | {"zone_id": 99}), 422, "unknown_zone")
        made = await client.call("POST", "/hosts/", json=NEW_HOST | {"cpu_overcommit": 2.3})
        host = made.json()
        assert (host["vcpus_limit"], host["memory_limit_mib"], host["disk_limit_gib"]) == (9, 8192, 400)
        assert (host["zone"], host["provider"], host["state"]) == ("lab 1", "simulated", "up")
        problem(await client.call("POST", "/hosts/", json=NEW_HOST), 409, "host_exists")
        async with lab.uows.write() as uow:
            vm = await make_vm(uow, zone_id=1, host_id=host["id"])
            assert await uow.hosts.try_reserve(host["id"], [Claim(vm.id, 8, 4096, 4)])
            await uow.commit()
        refused = problem(await client.call("PATCH", "/hosts/1", json={"vcpus": 3}), 409, "capacity_in_use")
        assert [item["where"] for item in refused["problems"]] == ["vcpus"]
        grown = await client.call("PATCH", "/hosts/1", json={"vcpus": 8, "state": "draining"})
        assert (grown.json()["vcpus_limit"], grown.json()["state"]) == (18, "draining")
        listed = await client.call("GET", "/hosts/", params={"zone_id": 1, "state": "draining"})
        assert listed.json()["items"] == [(await client.call("GET", "/hosts/1")).json()]
        blocked = problem(await client.call("DELETE", "/hosts/1"), 409, "host_in_use")
        assert [item["where"] for item in blocked["problems"]] == [f"vms[{vm.id}]"]
        async with lab.uows.write() as uow:
            await uow.hosts.release(vm.id)
            await uow.vms.update_fields([vm.id], state="deleted")
            await uow.commit()
        assert (await client.call("DELETE", "/hosts/1")).status_code == 204


async def test_zones_go_only_when_they_are_empty(lab: Lab) -> None:
    async with lab.uows.write() as uow:
        zone = await make_zone(uow, "z")
        host = await lab.hosts.create(uow, ADMIN, NEW_HOST | {"zone_id": zone.id})
        made = await make_slice(uow, zone.id)
        await uow.commit()
    async with open_client(lab, zones.router) as client:
        blocked = problem(await client.call("DELETE", f"/zones/{zone.id}"), 409, "zone_in_use")
        assert {item["where"] for item in blocked["problems"]} == {f"hosts[{host['id']}]", f"slices[{made.id}]"}
        async with lab.uows.write() as uow:
            await lab.hosts.delete(uow, ADMIN, host["id"])
            (await uow.slices.get(made.id)).state = "destroyed"
            await uow.commit()
        blocked = problem(await client.call("DELETE", f"/zones/{zone.id}"), 409, "zone_in_use")
        assert [item["where"] for item in blocked["problems"]] == ["history"]
        other = (await client.call("POST", "/zones/", json={"name": "z2", "provider": "libvirt"})).json()
        assert (await client.call("PATCH", f"/zones/{other['id']}", json={"name": "z"})).status_code == 409
        assert (await client.call("DELETE", f"/zones/{other['id']}")).status_code == 204


async def test_repositories_on_every_database(any_url: str, tmp_path: Path) -> None:
    async with open_lab(any_url, tmp_path) as lab:
        async with lab.uows.write() as uow:
            zone = await make_zone(uow, "z")
            host = await lab.hosts.create(uow, ADMIN, NEW_HOST | {"zone_id": zone.id})
            image = await make_image(uow, "img")
            vm = await make_vm(uow, zone_id=zone.id, host_id=host["id"], image_id=image.id)
            await uow.commit()
        async with lab.uows.read() as uow:
            assert await uow.zones.contents(zone.id) == [("hosts", host["id"], "node1"), ("vms", vm.id, "vm")]
            assert await uow.zones.has_history(zone.id)
            assert await uow.hosts.vms_on(host["id"]) == [(vm.id, "vm")]
            living = await uow.images.living_vms(image.id)
            assert [(row["id"], row["name"]) for row in living] == [(vm.id, "vm")]
            assert await uow.images.refers_to(image.sha256)
            assert (await uow.hosts.detail(host["id"]))["zone"] == "z"
        async with lab.uows.write() as uow:
            await uow.vms.update_fields([vm.id], state="deleted")
            await uow.hosts.forget_deleted_vms(host["id"])
            assert await uow.images.forget_deleted_vms(image.id) == 1
            await lab.images.delete(uow, ADMIN, image.id)
            await lab.hosts.delete(uow, ADMIN, host["id"])
            await lab.zones.delete(uow, ADMIN, zone.id)
            await uow.commit()
        async with lab.uows.read() as uow:
            assert not await uow.images.refers_to(image.sha256)


def _as_user(user_id: int) -> Caller:
    return replace(ADMIN, user_id=user_id)
