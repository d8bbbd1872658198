"""``/ws/users`` and ``/ws/vms``: news as they are committed, each with its number on the canonical stream.

The queue of a client is bounded and is its own: one that does not read never delays another. It is closed with 4408 and
its last number, from which it resumes here (``?since=``) or at ``/api/v1/events/ws``. The token comes as on the
canonical stream, in ``Authorization`` or as a subprotocol; never in the address, which proxies write into their logs.
Pages of this server, and those of ``PARCELA_CORS_ORIGINS``, may come with the cookie of ``POST /login`` instead.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fastapi import WebSocket

from parcela.api.compat.cookies import SessionCookie
from parcela.api.compat.origin import is_own_page
from parcela.api.compat.vms.feed import Feed
from parcela.api.dependencies.streams import take_place
from parcela.api.dependencies.uow import AppServices
from parcela.api.routers.events import Since
from parcela.api.routing import json_router
from parcela.api.websockets.auth import Sender, accept, authenticate, brings_token, refuse
from parcela.api.websockets.frames import TextMessage
from parcela.core.cookies import VMS_SOCKETS_COOKIE
from parcela.core.errors import ParcelaError
from parcela.core.permissions import Permission
from parcela.repositories.events import EventRecord
from parcela.services.access import Caller
from parcela.services.container import Services

router = json_router("/ws", tags=["vms"])
VMS_SOCKETS = SessionCookie(VMS_SOCKETS_COOKIE, "POST /login", path="/ws/", same_site="strict")

Judge = Callable[[Caller], object]
"""Raises when somebody may not have a feed; asked at the handshake, and again whenever rights have changed."""


async def _tell(socket: WebSocket, services: Services, feed: Feed, since: int | None, judge: Judge) -> None:
    try:
        caller = await _caller(socket, services)
        judge(caller)
        start = await services.events.beginning(since)
    except ParcelaError as exc:
        await refuse(socket, exc)
        return
    await accept(socket)
    sender = Sender(socket, services.hub)
    sender.subscription.judge = judge
    records = services.events.stream(caller, start, types=feed.types, subscription=sender.subscription)
    await sender.send_all(_messages(services, records, feed))


async def _caller(socket: WebSocket, services: Services) -> Caller:
    """Who is behind a handshake: by a token, else by the cookie where a page of ours has opened it.

    To pages of others the cookie is nothing: WebSockets know no CORS, and any page could read what they say.
    """
    with_cookie = VMS_SOCKETS.name in socket.cookies and not brings_token(socket)
    if not with_cookie or not is_own_page(socket):
        return await authenticate(socket, services)
    caller = await VMS_SOCKETS.caller(socket, services)
    take_place(socket, services, caller.user_id)
    return caller


async def _messages(
    services: Services, records: AsyncGenerator[EventRecord | None, None], feed: Feed
) -> AsyncGenerator[TextMessage, None]:
    async with aclosing(records):
        async for record in records:
            message = None if record is None else await feed.message(services, record)
            if message is not None:
                yield message


@router.websocket("/vms")
async def vms_socket(socket: WebSocket, services: AppServices, since: Since = None) -> None:
    """`vm_created`, `vm_updated`, `vm_deleted` of own VMs; of all with `event:read_all`."""

    def judge(caller: Caller) -> None:
        caller.list_filter(Permission.VM_READ_ALL)  # a token without any scope for VMs is refused

    await _tell(socket, services, socket.app.state.vm_feed, since, judge)


@router.websocket("/users")
async def users_socket(socket: WebSocket, services: AppServices, since: Since = None) -> None:
    """`user_created`, `user_updated`, `user_deleted`; needs `user:read` and `event:read_all`."""

    def judge(caller: Caller) -> None:
        caller.require(Permission.USER_READ)
        caller.require(Permission.EVENT_READ_ALL)

    await _tell(socket, services, socket.app.state.user_feed, since, judge)
