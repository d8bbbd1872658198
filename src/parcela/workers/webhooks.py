"""Sends webhooks: looks at new events, and lets each webhook work off what is due, none waiting for another.

Repairs: events that were never ordered and deliveries that were cut off, both found again in their rows after a kill.

Must not touch: deliveries that another process has claimed, webhooks that are switched off.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from parcela.core.disks import is_storage_trouble
from parcela.core.errors import ParcelaError
from parcela.core.origin import detach
from parcela.core.tasks import end, is_set_within
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.webhooks.deliveries import WebhookDeliveries
from parcela.services.webhooks.http_client import WebhookHttp

log = structlog.get_logger(__name__)
AT_ONCE = 8
"""Deliveries under way in this process; each may take as long as its timeout."""
KEPT_FOR = timedelta(days=30)
PURGED_EVERY = timedelta(hours=1)


class WebhookPump:
    """Runs on a timer and soon after events."""

    def __init__(
        self,
        uows: UnitOfWorkFactory,
        deliveries: WebhookDeliveries,
        http: WebhookHttp,
        interval_s: float,
        kept_for: timedelta = KEPT_FOR,
    ) -> None:
        """``interval_s``: seconds between two looks without an event; ``kept_for``: age of ended deliveries."""
        self._kept_for = kept_for
        self._uows = uows
        self._deliveries = deliveries
        self._http = http
        self._interval_s = interval_s
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._purged_at: datetime | None = None

    def signal(self) -> None:
        """Something happened: look now."""
        self._wake.set()

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.create_task(self._for_ever())

    async def aclose(self) -> None:
        """Stop at once; what is under way is repeated by whoever starts next."""
        tasks = [*self._busy.values(), *([self._loop] if self._loop else [])]
        await end(*tasks)
        await self._http.aclose()

    async def round(self) -> None:
        """Order what is new, and set every webhook with something due to work."""
        async with self._uows.read() as uow:
            behind = await uow.webhooks.behind(await uow.events.last_id())
        for webhook_id in behind:
            await self._enqueue(webhook_id)
        async with self._uows.read() as uow:
            due = await uow.webhook_deliveries.due_webhooks(uow.clock())
        for webhook_id in due:
            if webhook_id not in self._busy:
                self._busy[webhook_id] = asyncio.create_task(self._work_off(webhook_id))
        await self._purge_if_due()

    async def idle(self) -> None:
        """Wait until nothing is under way in this process."""
        while self._busy:
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _for_ever(self) -> None:
        detach()
        while True:
            await is_set_within(self._wake, self._interval_s)
            self._wake.clear()
            try:
                await self.round()
            except ParcelaError as exc:
                tell = log.debug if is_storage_trouble(exc) else log.warning
                tell("webhooks.later", reason=exc.message)
            except Exception:
                log.exception("webhooks.crashed")

    async def _enqueue(self, webhook_id: int) -> None:
        more = True
        while more:
            try:
                async with self._uows.write() as uow:
                    more = await self._deliveries.enqueue(uow, webhook_id)
                    await uow.commit()
            except ParcelaError as exc:
                tell = log.debug if is_storage_trouble(exc) else log.info
                tell("webhooks.enqueue_later", webhook_id=webhook_id, reason=exc.message)
                return  # deleted meanwhile, or another process was faster

    async def _work_off(self, webhook_id: int) -> None:
        try:
            while await self._next(webhook_id):
                pass
        except ParcelaError as exc:
            tell = log.debug if is_storage_trouble(exc) else log.info
            tell("webhooks.delivery_later", webhook_id=webhook_id, reason=exc.message)
        except Exception:
            log.exception("webhooks.delivery_crashed", webhook_id=webhook_id)
        finally:
            self._busy.pop(webhook_id, None)

    async def _next(self, webhook_id: int) -> bool:
        """Try the next due delivery; False when there is none, or when the receiver had better be left alone."""
        async with self._uows.read() as uow:
            delivery_id = await uow.webhook_deliveries.next_due(webhook_id, uow.clock())
        if delivery_id is None:
            return False
        async with self._slots:
            async with self._uows.write() as uow:
                letter = await self._deliveries.claim(uow, delivery_id)
                await uow.commit()
            if letter is None:
                return True
            outcome = await self._http.post(letter.url, letter.body, letter.headers)
        async with self._uows.write() as uow:
            await self._deliveries.settle(uow, letter, outcome)
            await uow.commit()
        return outcome.is_good

    async def _purge_if_due(self) -> None:
        now = self._uows.clock()
        if self._purged_at is not None and now - self._purged_at < PURGED_EVERY:
            return
        self._purged_at = now
        async with self._uows.write() as uow:
            await uow.webhook_deliveries.purge(now - self._kept_for)
            await uow.commit()
