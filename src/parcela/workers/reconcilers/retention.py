"""Rows past their retention.

Repairs: tables that grow: events, finished operations, deleted VMs, removed segments, destroyed slices, surplus
versions of templates, ended deliveries, kept answers, tokens that are worth nothing, old audit entries
and counts of refusals; user data in the rows of VMs that were deleted before deletion emptied them.
docs/reference/retention.md has the whole list.

Must not touch: what an operation still works on or a reservation holds; operations that have not ended for good;
versions that existing slices were made from.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from parcela.core.clock import Clock, utc_now
from parcela.core.settings import Settings
from parcela.core.settings_retention import LEAST_AUDIT_DAYS
from parcela.repositories import retention as rules
from parcela.repositories.retention import Rule
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.workers.reconcilers.base import log

BATCH_ROWS = 200
"""Rows of one transaction: on SQLite it holds the one writer lock, some milliseconds with this."""
BATCHES_A_ROUND = 20
"""Then the other reconcilers get their turn; the rest follows in the next round."""
FIRST_AFTER_S = 600.0


@dataclass(frozen=True)
class Term:
    """A rule and how long it keeps rows: ``kept`` (None: for ever), and at most ``rows`` of them (None: any number)."""

    rule: Rule
    kept: timedelta | None
    rows: int | None = None


def terms(settings: Settings) -> tuple[Term, ...]:
    """Rules with the terms of the settings, in an order in which what refers goes before what is referred to."""
    deleted, rows = timedelta(days=settings.retention_deleted_days), settings.retention_history_rows
    audit = timedelta(days=settings.retention_audit_days) if settings.retention_audit_days else None
    return (
        Term(rules.OPERATIONS, timedelta(days=settings.retention_operations_days), rows),
        Term(rules.VMS, deleted, rows),
        Term(rules.SEGMENTS, deleted, rows),
        Term(rules.SLICES, deleted, rows),
        Term(rules.DELIVERIES, timedelta(days=settings.retention_deliveries_days)),
        Term(rules.IDEMPOTENCY, timedelta(hours=settings.retention_idempotency_hours)),
        Term(rules.EXPIRED_TOKENS, timedelta()),
        Term(rules.REVOKED_TOKENS, timedelta(days=settings.retention_tokens_days)),
        Term(rules.AUDIT, audit),
        Term(rules.REFUSALS, timedelta(days=settings.retention_refusals_days)),
    )


class Retention:
    """Sweeps all tables once in ``PARCELA_RETENTION_SWEEP_S``; reads only, unless something is past its time."""

    name = "retention"

    def __init__(
        self,
        uows: UnitOfWorkFactory,
        settings: Settings,
        others: Sequence[Callable[[], Awaitable[int]]] = (),
        *,
        batch_rows: int = BATCH_ROWS,
        wall_clock: Clock = utc_now,
    ) -> None:
        """Take the store and the terms.

        Args:
            uows: the store.
            settings: the terms.
            others: are asked to remove what they know best.
            batch_rows: rows of one transaction.
            wall_clock: as the database has it, whose triggers keep young audit entries.
        """
        self._wall_clock = wall_clock
        self._uows = uows
        self._settings = settings
        self._others = others
        self._batch_rows = batch_rows
        self._emptied = False
        self._pause = timedelta(seconds=settings.retention_sweep_s)
        self._next = uows.clock() + min(self._pause, timedelta(seconds=FIRST_AFTER_S))

    async def run(self) -> int:
        """Remove what is past its retention, at most so much that others get their turn; how many rows."""
        now = self._uows.clock()
        if now < self._next:
            return 0
        removed, unfinished = 0, False
        for term in terms(self._settings):
            rows, full = await self._apply(term, now)
            removed, unfinished = removed + rows, unfinished or full
        rows, full = await self._events(now)
        removed, unfinished = removed + rows, unfinished or full
        removed += await self._versions()
        rows, full = await self._user_data()
        removed, unfinished = removed + rows, unfinished or full
        for other in self._others:
            removed += await other()
        if not unfinished:
            self._next = now + self._pause
        if removed:
            log.info("retention.removed", rows=removed, more=unfinished)
        return removed

    async def _apply(self, term: Term, now: datetime) -> tuple[int, bool]:
        removed = 0
        before = await self._before(term, now)
        for _ in range(BATCHES_A_ROUND if before else 0):
            assert before is not None  # noqa: S101 (for mypy)
            async with self._uows.read() as uow:
                found = await uow.retention.past(term.rule, before, self._batch_rows)
            if not found:
                return removed, False
            async with self._uows.write() as uow:
                ids = await uow.retention.past(term.rule, before, len(found), among=found)
                if ids:
                    await uow.retention.remove(term.rule, ids)
                await uow.commit()
            removed += len(ids)
            if len(found) < self._batch_rows:
                return removed, False
        return removed, before is not None

    async def _before(self, term: Term, now: datetime) -> datetime | None:
        """Older rows go; None when none do."""
        times = [] if term.kept is None else [now - term.kept]
        if term.rows is not None:
            async with self._uows.read() as uow:
                beyond = await uow.retention.beyond(term.rule, term.rows)
            times += [beyond + timedelta(microseconds=1)] if beyond else []
        before = max(times, default=None)
        if before is not None and term.rule is rules.AUDIT:
            return min(before, self._wall_clock() - timedelta(days=LEAST_AUDIT_DAYS))
        return before

    async def _events(self, now: datetime) -> tuple[int, bool]:
        before, rows = now - timedelta(days=self._settings.retention_events_days), self._settings.retention_events_rows
        removed = 0
        for _ in range(BATCHES_A_ROUND):
            async with self._uows.read() as uow:
                until = await uow.retention.events_until(before, rows, self._batch_rows)
            if not until:
                return removed, False
            async with self._uows.write() as uow:
                removed += await uow.retention.remove_events(until)
                await uow.commit()
        return removed, True

    async def _user_data(self) -> tuple[int, bool]:
        """Empty rows of VMs that an older version deleted; once after a start, because deletion empties them now."""
        emptied = 0
        for _ in range(0 if self._emptied else BATCHES_A_ROUND):
            async with self._uows.read() as uow:
                full = await uow.retention.full_deleted_vms(self._batch_rows)
            if not full:
                self._emptied = True
                break
            async with self._uows.write() as uow:
                emptied += await uow.retention.empty_vms(full)
                await uow.commit()
        return emptied, not self._emptied

    async def _versions(self) -> int:
        kept, last_id, removed = self._settings.template_versions_kept, 0, 0
        while True:
            async with self._uows.read() as uow:
                found = await uow.retention.surplus_versions(kept, last_id, self._batch_rows)
                used = await uow.retention.versions_in_use({template for template, _ in found.values()})
            surplus = [row_id for row_id, version in found.items() if version not in used]
            if surplus:
                async with self._uows.write() as uow:
                    removed += await uow.retention.remove_versions(surplus)
                    await uow.commit()
            if len(found) < self._batch_rows:
                return removed
            last_id = max(found)
