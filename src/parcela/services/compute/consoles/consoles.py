"""Consoles: one-time tickets, and the stream behind one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from parcela.core.errors import ErrorKind, ParcelaError, forbidden, unauthenticated
from parcela.core.tokens import hash_token, new_secret
from parcela.hypervisors.driver import ConsoleStream, SerialConsoles, VncConsoles
from parcela.hypervisors.errors import DriverError
from parcela.models import ConsoleTicket, VirtualMachine
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.allowed_compute import ALLOWED, CONSOLE, VmFacts
from parcela.services.auth_rules import caller_of
from parcela.services.compute.consoles.keyboards import Keyboard, Keyboards, Line, ScreenLine, SerialLine, SharedConsole
from parcela.services.compute.drivers import HostDrivers
from parcela.services.events.streams import EventService

TICKET_TTL_S = 30
__all__ = ["ConsoleKind", "ConsoleService", "Keyboard", "SharedConsole", "Ticket"]


class ConsoleKind(StrEnum):
    """Which console of a VM."""

    SERIAL = "serial"
    VNC = "vnc"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as it is given out, once."""

    secret: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asked for a console, and by which token.

    Attributes:
        user_id: the person.
        token_id: row of the token; for personal tokens.
        family: of the session's tokens, which are replaced while it goes on; "" for a personal token.
    """

    user_id: int
    token_id: int
    family: str


@dataclass(frozen=True, slots=True)
class Console:
    """A console that somebody uses.

    Attributes:
        stream: its bytes, both ways; who else has it open shares it.
        vm_id: whose console.
        holder: the session or personal token that it ends with.
    """

    stream: SharedConsole
    vm_id: int
    holder: Holder


class ConsoleService:
    """Gives tickets, opens what they are for, and knows when that has to end."""

    def __init__(self, uows: UnitOfWorkFactory, drivers: HostDrivers, events: EventService) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._drivers = drivers
        self._events = events
        self._keyboards = Keyboards()

    async def check_right(self, uow: ReadUnitOfWork, caller: Caller, vm_id: int) -> None:
        """Raise when the caller may not open consoles of a VM, on or off."""
        ALLOWED.check_right(caller, VmFacts.of(await uow.vms.get(vm_id)), CONSOLE)

    async def ticket(self, uow: UnitOfWork, caller: Caller, vm_id: int, kind: ConsoleKind) -> Ticket:
        """A ticket for one opening of one console within 30 seconds.

        A console is full control of the guest, so it needs the right to write.
        """
        vm = await uow.vms.get(vm_id)
        ALLOWED.check(caller, VmFacts.of(vm), CONSOLE)
        secret = new_secret()
        now = uow.clock()
        expires_at = now + timedelta(seconds=TICKET_TTL_S)
        await uow.console_tickets.add(
            ConsoleTicket(
                token_hash=hash_token(secret),
                vm_id=vm_id,
                user_id=caller.user_id,
                kind=kind.value,
                token_id=caller.token_id,
                family=caller.token_family,
                expires_at=expires_at,
                created_at=now,
            )
        )
        uow.add_event(
            "console.ticket",
            owner_id=vm.owner_id,
            actor_id=caller.user_id,
            vm_id=vm_id,
            slice_id=vm.slice_id,
            data={"kind": kind.value},
        )
        return Ticket(secret, expires_at)

    async def open(self, secret: str, vm_id: int, kind: ConsoleKind) -> Console:
        """Use a ticket up and open its console.

        Raises:
            ParcelaError: kind ``unauthenticated`` for a bad, spent or expired ticket, or one whose session or personal
                token has ended; ``forbidden`` or ``not_found`` when it is for another console or their rights have
                gone; ``conflict`` when the VM is off; ``unavailable`` when its host does not answer.
        """
        token_hash = hash_token(secret)
        async with self._uows.read() as uow:  # a stranger's guess must not take the database's writer
            if not await uow.console_tickets.is_known(token_hash):
                raise _bad_ticket()
        async with self._uows.write() as uow:
            ticket = await uow.console_tickets.redeem(token_hash)
            await uow.commit()
            if ticket is None:
                raise _bad_ticket()
            if ticket.vm_id != vm_id or ticket.kind != kind.value:
                raise forbidden("ticket_mismatch", "The ticket is for another console.")
            vm = await uow.vms.get(vm_id)
            holder = Holder(ticket.user_id, ticket.token_id, ticket.family)
            await _judge(uow, holder, vm, to_open=True)
            name = (await uow.users.get(ticket.user_id)).username
            provider, host_name = await uow.hosts.provider_of(vm.host_id or 0)
        try:
            stream = await self._keyboards.join(
                (vm_id, kind.value), name, lambda: self._open(provider, host_name, vm.uuid, kind)
            )
        except DriverError as exc:
            raise ParcelaError(
                ErrorKind.UNAVAILABLE, "console_unavailable", exc.message, internal=exc.internal, retry_after_s=2
            ) from exc
        return Console(stream, vm_id, holder)

    async def until_refused(self, console: Console) -> None:
        """Wait until its session or token has ended, or its user may not use it any more.

        Raises:
            ParcelaError: the reason, sooner or later.
        """

        async def judge(uow: ReadUnitOfWork) -> datetime | None:
            return await _judge(uow, console.holder, await uow.vms.get(console.vm_id))

        await self._events.until_refused(console.holder.user_id, judge)

    async def _open(self, provider: str, host_name: str, uuid: UUID, kind: ConsoleKind) -> tuple[ConsoleStream, Line]:
        driver = await self._drivers.get(provider, host_name)
        if kind is ConsoleKind.SERIAL and isinstance(driver, SerialConsoles):
            serial = await driver.open_serial(uuid)
            return serial, SerialLine(serial)
        if kind is ConsoleKind.VNC and isinstance(driver, VncConsoles):
            screen = await driver.open_vnc(uuid)
            return screen, ScreenLine(screen)
        raise ParcelaError(ErrorKind.UNSUPPORTED, "no_console", f"This host has no {kind.value} consoles.")


def _bad_ticket() -> ParcelaError:
    return unauthenticated("ticket_invalid", "The console ticket is unknown, spent or expired; ask anew.")


async def _judge(uow: ReadUnitOfWork, holder: Holder, vm: VirtualMachine, *, to_open: bool = False) -> datetime | None:
    """When the session or token ends by itself; raises when it may not use the console of a VM now (or, open it)."""
    if holder.family:
        facts = await uow.tokens.facts_of_session(holder.user_id, holder.family)
    else:
        facts = await uow.tokens.facts_by_id(holder.token_id)
    if facts is None:
        raise unauthenticated("token_revoked", "The session was ended; log in again.")
    caller = caller_of(facts, uow.clock())
    (ALLOWED.check if to_open else ALLOWED.check_right)(caller, VmFacts.of(vm), CONSOLE)
    return facts.expires_at
