"""Webhooks against a real HTTP server, with a clock that tests turn, on every kind of database."""

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text

from parcela.api.schemas.operations import EventRead
from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings
from parcela.models import Webhook, WebhookDelivery
from parcela.repositories.paging import PageRequest
from parcela.services.webhooks.deliveries import WebhookDeliveries
from parcela.services.webhooks.http_client import WebhookHttp
from parcela.services.webhooks.rules import WebhookSecrets
from parcela.services.webhooks.webhooks import WebhookService
from parcela.workers.webhooks import WebhookPump
from tests.integration.webhooks.receiver import Received, Receiver, receiving
from tests.support.furnish import ADMIN, ADMIN_ID, ALICE_ID
from tests.support.lab import Lab

pytestmark = pytest.mark.anyio
KEY = WebhookSecrets("k" * 40)
DAY_S = 86_400


@dataclass
class Hooks:
    """An installation with a pump of its own, whose addresses of names a test decides."""

    lab: Lab
    settings: Settings
    receiver: Receiver
    names: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    pumps: list[WebhookPump] = field(default_factory=list)

    @property
    def service(self) -> WebhookService:
        return WebhookService(self.settings, KEY)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}/hook"

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.names.get(host, [host])

    def pump(self) -> WebhookPump:
        """Another process' pump."""
        services = self.lab.stack.services
        deliveries = WebhookDeliveries(self.settings, KEY, services.events, chance=lambda: 0.5)
        made = WebhookPump(services.uows, deliveries, WebhookHttp(self.settings, self.resolve), 3600)
        self.pumps.append(made)
        return made

    async def add(self, owner: int = ADMIN_ID, **facts: Any) -> Webhook:
        """A webhook on the receiver; owners are written into the row, so that each can have one."""
        async with self.lab.stack.uows.write() as uow:
            order = {"name": "hook", "url": self.url, "event_types": ["test.*"]} | facts
            made = await self.service.create(uow, ADMIN, **order)
            made.webhook.owner_id = owner
            made.webhook.cursor = await uow.events.last_id() + 1  # the event of its own creation
            await uow.commit()
        return made.webhook

    async def happen(self, *types: str, owner_id: int | None = None) -> list[int]:
        """Events; their numbers."""
        async with self.lab.stack.uows.write() as uow:
            before = await uow.events.last_id()
            for number, kind in enumerate(types):
                uow.add_event(kind, owner_id=owner_id, data={"n": number})
            await uow.commit()
        return list(range(before + 1, before + 1 + len(types)))

    async def run(self) -> None:
        """One round, to its end."""
        pump = self.pumps[-1] if self.pumps else self.pump()
        await pump.round()
        await pump.idle()

    async def rows(self) -> list[WebhookDelivery]:
        async with self.lab.stack.uows.read() as uow:
            return await uow.webhook_deliveries.all()

    async def hook(self, webhook_id: int) -> Webhook:
        async with self.lab.stack.uows.read() as uow:
            return await uow.webhooks.get(webhook_id)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


async def _hooks(lab: Lab, receiver: Receiver) -> AsyncIterator[Hooks]:
    own = {"webhook_allowed_networks": ("127.0.0.0/8",), "webhook_plain_http": True, "webhook_attempts": 3}
    made = Hooks(lab, lab.settings.model_copy(update=own), receiver)
    yield made
    for pump in made.pumps:
        await pump.aclose()


@pytest.fixture
async def hooks(faulty: Lab, receiver: Receiver) -> AsyncIterator[Hooks]:
    async for made in _hooks(faulty, receiver):
        yield made


@pytest.fixture
async def anywhere(faulty_anywhere: Lab, receiver: Receiver) -> AsyncIterator[Hooks]:
    async for made in _hooks(faulty_anywhere, receiver):
        yield made


def signed_with(request: Received, secret: str) -> bool:
    """What a receiver does."""
    stamp, *marks = request.headers["x-parcela-signature"].split(",")
    signed = stamp.removeprefix("t=").encode() + b"." + request.body
    return f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" in marks


async def test_two_at_once_are_not_both_the_last_one(anywhere: Hooks) -> None:
    settings = anywhere.settings.model_copy(update={"webhooks_per_user": 2})
    service = WebhookService(settings, KEY)

    async def make() -> str:
        try:
            async with anywhere.lab.stack.uows.write() as uow:
                await service.create(uow, ADMIN, name="hook", url=anywhere.url, event_types=[])
                await uow.commit()
        except ParcelaError as exc:
            return exc.code
        return "made"

    outcomes = await asyncio.gather(*(make() for _ in range(6)))
    assert sorted(outcomes) == ["made"] * 2 + ["too_many_webhooks"] * 4


async def test_events_arrive_signed_as_the_streams_write_them(anywhere: Hooks) -> None:
    hook = await anywhere.add()
    numbers = await anywhere.happen("test.one", "other.kind", "test.two")
    await anywhere.run()
    assert anywhere.receiver.numbers == [numbers[0], numbers[2]]
    async with anywhere.lab.stack.uows.read() as uow:
        stored = await uow.events.since(numbers[0] - 1, limit=3)
    for request, record in zip(anywhere.receiver.requests, (stored[0], stored[2]), strict=True):
        assert json.loads(request.body) == json.loads(EventRead.model_validate(record).model_dump_json())
        assert signed_with(request, KEY.secret(hook.salt))
        assert request.path == "/hook"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["x-parcela-event"] == record.type
        assert request.headers["x-parcela-attempt"] == "1"
        assert int(request.headers["x-parcela-signature"].split(",")[0][2:]) == int(anywhere.lab.clock.now.timestamp())
    rows = await anywhere.rows()
    assert [(row.event_id, row.state, row.attempts, row.response_status) for row in rows] == [
        (numbers[0], "delivered", 1, 200),
        (numbers[2], "delivered", 1, 200),
    ]
    await anywhere.run()
    assert len(anywhere.receiver.requests) == 2


async def test_failures_are_repeated_later_and_later_then_given_up(anywhere: Hooks) -> None:
    hook = await anywhere.add()
    await anywhere.happen("test.one")
    anywhere.receiver.answers.extend([500, 503, 404])
    await anywhere.run()
    await anywhere.run()
    assert len(anywhere.receiver.requests) == 1, "repeated at once"
    for delay_s, attempts in ((10, 2), (40, 3)):
        anywhere.lab.clock.turn(delay_s - 1)
        await anywhere.run()
        assert len(anywhere.receiver.requests) == attempts - 1
        anywhere.lab.clock.turn(1)
        await anywhere.run()
        assert len(anywhere.receiver.requests) == attempts
    (row,) = await anywhere.rows()
    assert (row.state, row.attempts, row.response_status, row.error) == ("failed", 3, 404, "answered 404")
    assert row.next_attempt_at is None
    assert len(set(anywhere.receiver.numbers)) == 1
    assert [request.headers["x-parcela-attempt"] for request in anywhere.receiver.requests] == ["1", "2", "3"]
    assert (await anywhere.hook(hook.id)).failing_since is not None
    await anywhere.happen("test.two")
    await anywhere.run()
    assert (await anywhere.hook(hook.id)).failing_since is None


async def test_a_kill_at_any_moment_loses_nothing(anywhere: Hooks) -> None:
    await anywhere.add()
    numbers = await anywhere.happen("test.one", "test.two")
    # Killed after the order was written and before anything went out.
    first = anywhere.pump()
    async with anywhere.lab.stack.uows.read() as uow:
        (webhook_id,) = await uow.webhooks.behind(await uow.events.last_id())
    await first._enqueue(webhook_id)
    # Killed between claim and answer: it is repeated once the claim has run out.
    second = anywhere.pump()
    async with anywhere.lab.stack.uows.write() as uow:
        assert await second._deliveries.claim(uow, (await anywhere.rows())[0].id) is not None
        await uow.commit()
    third = anywhere.pump()
    await third.round()
    await third.idle()
    assert anywhere.receiver.numbers == [numbers[1]], "one that is claimed by somebody else was sent"
    anywhere.lab.clock.turn(60)
    await third.round()
    await third.idle()
    assert sorted(anywhere.receiver.numbers) == numbers
    assert {row.state for row in await anywhere.rows()} == {"delivered"}


async def test_two_processes_send_each_event_once(anywhere: Hooks) -> None:
    await anywhere.add()
    numbers = await anywhere.happen(*["test.one"] * 12)
    pumps = [anywhere.pump(), anywhere.pump()]
    await asyncio.gather(*(pump.round() for pump in pumps))
    await asyncio.gather(*(pump.idle() for pump in pumps))
    await anywhere.run()
    assert sorted(anywhere.receiver.numbers) == numbers


async def test_more_events_than_a_batch(hooks: Hooks) -> None:
    await hooks.add()
    await hooks.happen(*["other.kind"] * 510)
    numbers = await hooks.happen("test.late")
    await hooks.run()
    assert hooks.receiver.numbers == numbers


async def test_an_owner_is_told_of_what_they_may_see(hooks: Hooks) -> None:
    await hooks.add(owner=ALICE_ID)
    (mine,) = await hooks.happen("test.mine", owner_id=ALICE_ID)
    await hooks.happen("test.others", owner_id=ALICE_ID + 1)
    await hooks.happen("test.nobodys")
    await hooks.run()
    assert hooks.receiver.numbers == [mine]


async def test_rights_are_those_of_the_moment_of_delivery(hooks: Hooks) -> None:
    await hooks.add()
    hooks.receiver.answers.append(500)
    await hooks.happen("test.nobodys")
    await hooks.run()
    async with hooks.lab.stack.uows.write() as uow:
        admin, alice = await uow.users.lock(ADMIN_ID), await uow.users.get(ALICE_ID)
        admin.role_id, admin.is_superuser = alice.role_id, False
        await uow.commit()
    hooks.lab.clock.turn(60)
    await hooks.happen("test.more")
    await hooks.run()
    assert len(hooks.receiver.requests) == 1
    (row,) = await hooks.rows()
    assert (row.state, row.error) == ("failed", "its owner may not see this event any more")


async def test_a_disabled_owner_is_told_nothing_and_not_later_either(hooks: Hooks) -> None:
    hook = await hooks.add(owner=ALICE_ID)
    async with hooks.lab.stack.uows.write() as uow:
        (await uow.users.lock(ALICE_ID)).is_active = False
        await uow.commit()
    await hooks.happen("test.mine", owner_id=ALICE_ID)
    await hooks.run()
    async with hooks.lab.stack.uows.write() as uow:
        (await uow.users.lock(ALICE_ID)).is_active = True
        await uow.commit()
    await hooks.run()
    assert not hooks.receiver.requests
    assert (await hooks.hook(hook.id)).cursor >= 1


async def test_scopes_of_the_token_that_made_it_limit_it(hooks: Hooks) -> None:
    hook = await hooks.add(event_types=["vm.*", "slice.*"])
    async with hooks.lab.stack.uows.write() as uow:
        (await uow.webhooks.lock(hook.id)).scopes = ["webhook:create", "vm:read"]
        await uow.commit()
    await hooks.happen("vm.nobodys")
    await hooks.happen("slice.mine", owner_id=ADMIN_ID)
    (mine,) = await hooks.happen("vm.mine", owner_id=ADMIN_ID)
    await hooks.run()
    assert hooks.receiver.numbers == [mine]


async def test_one_that_fails_for_days_is_switched_off(hooks: Hooks) -> None:
    hook = await hooks.add()
    hooks.receiver.answers.extend([500] * 20)
    for _ in range(6):
        await hooks.happen("test.one")
        await hooks.run()
        hooks.lab.clock.turn(DAY_S)
    found = await hooks.hook(hook.id)
    assert not found.is_active
    assert found.disabled_reason == "Nothing was delivered for 5 days."
    async with hooks.lab.stack.uows.read() as uow:
        told = await uow.events.since(0, limit=1000, types=("webhook.disabled",))
    assert [(event.owner_id, event.data["id"]) for event in told] == [(ADMIN_ID, hook.id)]
    sent = len(hooks.receiver.requests)
    await hooks.run()
    assert len(hooks.receiver.requests) == sent
    hooks.receiver.answers.clear()
    async with hooks.lab.stack.uows.write() as uow:
        await hooks.service.update(uow, ADMIN, hook.id, {"is_active": True})
        await uow.commit()
    (number,) = await hooks.happen("test.after")
    await hooks.run()
    assert number in hooks.receiver.numbers


async def test_a_slow_receiver_delays_nobody_else(hooks: Hooks, receiver: Receiver) -> None:
    with receiving() as other:
        await hooks.add()
        await hooks.add(url=f"http://127.0.0.1:{other.port}/other")
        await hooks.happen("test.one", "test.two")
        receiver.hold = threading.Event()
        pump = hooks.pump()
        await pump.round()
        await asyncio.to_thread(other.wait_for, 2)
        assert len(receiver.requests) <= 1
        receiver.hold.set()
        await pump.idle()
    assert len(receiver.requests) == 2


async def test_a_receiver_that_never_answers(hooks: Hooks) -> None:
    hooks.settings = hooks.settings.model_copy(update={"webhook_timeout_s": 0.2})
    await hooks.add()
    await hooks.happen("test.one")
    hooks.receiver.hold = threading.Event()
    await hooks.run()
    (row,) = await hooks.rows()
    assert (row.state, row.response_status, row.error) == ("pending", None, "no answer within 0.2 s")


async def test_redirects_are_not_followed(hooks: Hooks) -> None:
    with receiving() as target:
        await hooks.add()
        hooks.receiver.answers.append(302)
        hooks.receiver.location = f"http://127.0.0.1:{target.port}/inside"
        await hooks.happen("test.one")
        await hooks.run()
        assert not target.requests
    (row,) = await hooks.rows()
    assert (row.response_status, row.error) == (302, "answered 302")


async def test_a_name_that_leads_inside_is_refused(hooks: Hooks) -> None:
    hooks.settings = hooks.settings.model_copy(update={"webhook_allowed_networks": ()})
    hooks.names["innocent.example"] = ["127.0.0.1"]
    await hooks.add(url=f"http://innocent.example:{hooks.receiver.port}/x")
    await hooks.happen("test.one")
    await hooks.run()
    assert not hooks.receiver.requests
    (row,) = await hooks.rows()
    assert row.error == "its address is not public, and the administrator has not allowed it"


async def test_a_name_is_asked_once_and_the_checked_address_is_used(hooks: Hooks) -> None:
    hooks.names["rebinding.example"] = ["10.9.9.9", "127.0.0.1"]  # the first is refused, the second allowed
    await hooks.add(url=f"http://rebinding.example:{hooks.receiver.port}/x?y=1")
    await hooks.happen("test.one")
    await hooks.run()
    assert hooks.asked == ["rebinding.example"]
    (request,) = hooks.receiver.requests
    assert request.headers["host"] == f"rebinding.example:{hooks.receiver.port}"
    assert request.path == "/x?y=1"


async def test_plain_http_can_be_forbidden_later(hooks: Hooks) -> None:
    await hooks.add()
    hooks.settings = hooks.settings.model_copy(update={"webhook_plain_http": False})
    await hooks.happen("test.one")
    await hooks.run()
    (row,) = await hooks.rows()
    assert row.error == "http:// is not allowed by the administrator"


async def test_tls_proves_the_name(hooks: Hooks) -> None:
    """The receiver speaks no TLS, so what matters is that nothing is sent in the clear."""
    hooks.names["tls.example"] = ["127.0.0.1"]
    await hooks.add(url=f"https://tls.example:{hooks.receiver.port}/x")
    await hooks.happen("test.one")
    await hooks.run()
    assert not hooks.receiver.requests
    (row,) = await hooks.rows()
    assert row.state == "pending"
    assert row.error.startswith("ConnectError")


async def test_rotation_signs_with_both_for_a_day(hooks: Hooks) -> None:
    hook = await hooks.add()
    before = KEY.secret(hook.salt)
    async with hooks.lab.stack.uows.write() as uow:
        after = (await hooks.service.rotate(uow, ADMIN, hook.id)).secret
        await uow.commit()
    await hooks.happen("test.one")
    await hooks.run()
    hooks.lab.clock.turn(DAY_S + 1)
    await hooks.happen("test.two")
    await hooks.run()
    first, second = hooks.receiver.requests
    assert signed_with(first, before)
    assert signed_with(first, after)
    assert not signed_with(second, before)
    assert signed_with(second, after)


async def test_the_secret_is_not_in_the_database(hooks: Hooks) -> None:
    hook = await hooks.add()
    secret = KEY.secret(hook.salt)
    async with hooks.lab.stack.uows.database.read_session() as session:
        rows = (await session.execute(text("SELECT * FROM webhooks"))).all()
        trail = (await session.execute(text("SELECT * FROM audit_entries"))).all()
    assert secret.removeprefix("whsec_") not in repr(rows) + repr(trail)


async def test_resending_sends_the_same_number_again(hooks: Hooks) -> None:
    hook = await hooks.add()
    (number,) = await hooks.happen("test.one")
    await hooks.run()
    (row,) = await hooks.rows()
    async with hooks.lab.stack.uows.write() as uow:
        await hooks.service.resend(uow, ADMIN, hook.id, row.id)
        await uow.commit()
    await hooks.run()
    assert hooks.receiver.numbers == [number, number]
    assert hooks.receiver.requests[0].body == hooks.receiver.requests[1].body


async def test_ended_deliveries_are_removed_after_thirty_days(hooks: Hooks) -> None:
    hook = await hooks.add()
    await hooks.happen("test.one")
    await hooks.run()
    hooks.lab.clock.turn(31 * DAY_S)
    await hooks.run()
    assert not await hooks.rows()
    async with hooks.lab.stack.uows.read() as uow:
        page = await hooks.service.deliveries(uow, ADMIN, hook.id, PageRequest())
    assert not page.rows


async def test_a_started_pump_is_woken_by_events(hooks: Hooks) -> None:
    await hooks.add()
    pump = hooks.pump()
    hooks.lab.stack.services.hub.connect(pump.signal)
    pump.start()
    numbers = await hooks.happen("test.one")
    await asyncio.to_thread(hooks.receiver.wait_for, 1)
    await pump.idle()
    assert hooks.receiver.numbers == numbers
