"""Puts the routers together."""

from collections.abc import Mapping
from types import MappingProxyType

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from parcela.api.compat.cloud.router import ROUTERS as CLOUD
from parcela.api.compat.siglab.errors import FAMILY as SIGLAB_ERRORS
from parcela.api.compat.siglab.router import ROUTERS as SIGLAB
from parcela.api.compat.vm_api.router import ROUTERS as VM_API
from parcela.api.compat.vms.errors import FAMILY as VMS_ERRORS
from parcela.api.compat.vms.router import ROUTERS as VMS
from parcela.api.compat.vms.router import install_feeds
from parcela.api.errors import install_error_handlers
from parcela.api.fast_lists.direct import ReadPage
from parcela.api.openapi import complete
from parcela.api.routers import (
    attachments,
    audit,
    auth,
    consoles,
    events,
    flavours,
    hosts,
    images,
    invitations,
    machines,
    maintenance,
    maintenance_plans,
    metrics,
    operations,
    password_resets,
    projects,
    reports,
    roles,
    second_factor,
    sessions,
    slices,
    system,
    templates,
    tokens,
    users,
    vms,
    webhooks,
    zones,
)
from parcela.api.routing import take

ROUTERS = (
    # Looked at one after the other: those that are asked all the time stand first.
    vms,
    slices,
    operations,
    events,
    auth,
    projects,  # /users/me/quota before /users/{user_id}
    invitations,  # /users/me/invitations
    users,
    roles,
    tokens,
    sessions,
    second_factor,
    password_resets,
    audit,
    webhooks,
    flavours,
    images,
    zones,
    hosts,
    machines,
    maintenance,
    maintenance_plans,
    attachments,
    templates,
    reports,
    consoles,
    system,
)

QUICK_LISTS: Mapping[str, ReadPage] = MappingProxyType({"/api/v1/virtual-machines/": vms.read_page})
"""Path of a list -> what reads its plain first pages."""


class Application(FastAPI):
    """FastAPI, which looks once whether somebody traces it, and not three times into the environment per request."""

    _is_traced: bool | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request or the lifespan, in which FastAPI may set up tracing."""
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        if self._is_traced is None:
            self._is_traced = self._native_telemetry.enabled()
        if self._is_traced:
            await super().__call__(scope, receive, send)
        else:
            await Starlette.__call__(self, scope, receive, send)


def include_api(app: FastAPI) -> None:
    """Attach ``/api/v1``, the older APIs and the error handlers."""
    # Those of vm_api share addresses with the canonical ones, and take the requests of its clients only.
    take(app, *VM_API, *(module.router for module in ROUTERS), metrics.router, *SIGLAB, *VMS, *CLOUD)
    install_feeds(app)
    app.state.error_families = {**SIGLAB_ERRORS, **VMS_ERRORS}
    install_error_handlers(app)
    complete(app)
