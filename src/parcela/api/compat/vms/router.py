"""The routes of ``vms`` together."""

from fastapi import FastAPI

from parcela.api.compat.vms import auth, machines, sockets, users
from parcela.api.compat.vms.changes import Patience
from parcela.api.compat.vms.feed import USER_EVENTS, VM_EVENTS, Feed, user_message, vm_message

ROUTERS = (auth.router, users.router, machines.router, sockets.router)


def install_feeds(app: FastAPI) -> None:
    """What the WebSockets share, and the requests that wait."""
    app.state.vms_patience = Patience()
    app.state.vm_feed = Feed(vm_message, VM_EVENTS)
    app.state.user_feed = Feed(user_message, USER_EVENTS)
