"""Two writers that have seen the same version: exactly one of them goes through, on every kind of database.

The first writer is held just before its commit. The second one begins meanwhile, and is let go on only when it asks for
its first lock: whatever it had compared before that would have been the old version.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import httpx2
import pytest

from parcela.api.etags import IfMatch
from parcela.repositories.base import Repository
from parcela.repositories.machines import MachineRepository
from parcela.repositories.quotas import QuotaRepository
from parcela.repositories.uow import UnitOfWork
from parcela.repositories.users import UserRepository
from tests.integration.http.asgi import PATIENCE_S
from tests.integration.http.lab import Lab, make_settings, open_lab
from tests.integration.http.rights_table import RULES, Rule
from tests.integration.http.rights_targets import Made, filled_path, request_of
from tests.integration.http.rights_walk import Walk
from tests.integration.http.routes import routes_with
from tests.support.fixtures import SERVERS
from tests.support.servers import make_template, why_missing

pytestmark = pytest.mark.anyio
RACER: ContextVar[str] = ContextVar("racer", default="")
LOCKS = (
    (Repository, "lock"),
    (UserRepository, "lock_administrators"),
    (QuotaRepository, "lock_or_add"),
    (MachineRepository, "lock_if_any"),
)
SAME_CODE = ("/start", "/stop", "/reboot", "/suspend", "/resume")
"""Endings of routes that differ in a word: ``/reset`` stands for them."""


CONDITIONAL = [route for route in routes_with(IfMatch) if not route.endswith(SAME_CODE)]


async def _nothing(_url: str) -> None:
    """The application furnishes itself."""


@pytest.fixture(scope="module", params=SERVERS)
async def lab(
    request: pytest.FixtureRequest, schema: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Lab]:
    if reason := why_missing(request.param):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("race")
    values: dict[str, Any] = {"PARCELA_DATABASE_POOL_SIZE": 5}
    template = None
    if request.param != "sqlite":
        template = make_template(request.param, folder / "template", _nothing)
        values["DATABASE_URL"] = url = template.clone(folder)
    async with open_lab(make_settings(folder / "lab", schema, **values)) as made:
        yield made
    if template is not None:
        template.drop(url)
        template.close()


@pytest.fixture(scope="module")
async def walk(lab: Lab) -> Walk:
    return Walk(lab, 0)


class Race:
    """Holds the first writer before its commit, and notes when the second one asks for a lock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held, self.asked, self.go = asyncio.Event(), asyncio.Event(), asyncio.Event()
        commit = UnitOfWork.commit

        async def late(uow: UnitOfWork) -> None:
            if RACER.get() == "first":
                self.held.set()
                await self.go.wait()
            await commit(uow)

        monkeypatch.setattr(UnitOfWork, "commit", late)
        for repository, name in LOCKS:
            monkeypatch.setattr(repository, name, self._noted(getattr(repository, name)))

    def _noted(self, lock: Callable[..., Any]) -> Callable[..., Any]:
        async def noted(*args: Any, **options: Any) -> Any:
            if RACER.get() == "second":
                self.asked.set()
            return await lock(*args, **options)

        return noted

    async def run(self, lab: Lab, ask: Callable[[], Any]) -> list[httpx2.Response]:
        """The answers of both."""

        async def racer(name: str) -> httpx2.Response:
            RACER.set(name)
            answer: httpx2.Response = await ask()
            return answer

        async with asyncio.timeout(PATIENCE_S):
            first = asyncio.create_task(racer("first"))
            await _first_of(first, self.held)
            second = asyncio.create_task(racer("second"))
            if not lab.services.settings.resolved_database_url.startswith("sqlite"):
                await _first_of(second, self.asked)  # SQLite has one writer: the second does not even begin
            self.go.set()
            return [await first, await second]


async def _first_of(task: "asyncio.Task[Any]", event: asyncio.Event) -> None:
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def seen_version(lab: Lab, rule: Rule, made: Made) -> tuple[str, str]:
    """Path of the thing that the route changes, and its ETag."""
    path = filled_path(rule.path, made)
    readable = f"GET {rule.path}" in RULES
    answer = await lab.http.get(path if readable else path.rsplit("/", 1)[0], headers=lab.people["admin"].headers)
    return path, answer.headers.get("etag", "")


@pytest.mark.parametrize("route", CONDITIONAL)
async def test_one_of_two_writers_goes_through(
    lab: Lab, walk: Walk, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    rule = RULES[route]
    made = await walk._new(str(rule.target), in_project=False) if rule.target else {}
    options = await request_of(lab, route, made)
    await lab.settle()
    path, etag = await seen_version(lab, rule, made)
    assert etag
    headers = lab.people["admin"].headers | {"If-Match": etag}
    answers = await Race(monkeypatch).run(lab, lambda: lab.http.request(rule.method, path, headers=headers, **options))
    monkeypatch.undo()
    await lab.settle()
    assert answers[0].status_code == rule.statuses["admin"], answers[0].text
    assert answers[1].status_code in ({404, 412} if rule.method == "DELETE" else {412}), answers[1].text


async def test_an_older_client_takes_back_no_change_that_it_has_not_seen(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = lab.unique("M")
    made = await lab.make("/machines/", "admin", json={"code": code, "type": "PC"})
    lock = MachineRepository.lock

    async def late(self: MachineRepository, row_id: int) -> Any:
        """Another writer was faster while this one waited for the lock."""
        row = await lock(self, row_id)
        row.custom_fields = {"rack": "7"}
        await self._session.flush()
        return row

    monkeypatch.setattr(MachineRepository, "lock", late)
    changed = await lab.http.put(
        f"/api/maquinas/actualizar/{code}", json={"usuario": "Somebody Else"}, headers=lab.people["admin"].headers
    )
    monkeypatch.undo()
    assert changed.status_code == 200, changed.text
    fields = (await lab.call("GET", f"/machines/{made['id']}", "admin")).json()["custom_fields"]
    assert fields["rack"] == "7"
    assert "Somebody Else" in fields.values()
