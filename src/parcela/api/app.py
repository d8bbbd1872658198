"""Puts the routers together."""

from fastapi import APIRouter, Depends, FastAPI

from parcela.api.compat.cloud.router import router as cloud
from parcela.api.compat.siglab.router import router as siglab
from parcela.api.compat.vms.router import install_feeds
from parcela.api.compat.vms.router import router as vms_family
from parcela.api.dependencies.bodies import refuse_repeated_keys
from parcela.api.document import complete
from parcela.api.errors import install_error_handlers
from parcela.api.routers import (
    attachments,
    audit,
    auth,
    consoles,
    events,
    flavours,
    hosts,
    images,
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

ROUTERS = (
    # Looked at one after the other: those that are asked all the time stand first.
    vms,
    slices,
    operations,
    events,
    auth,
    projects,  # /users/me/quota before /users/{user_id}
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


def include_api(app: FastAPI) -> None:
    """Attach ``/api/v1``, the older APIs and the error handlers."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(refuse_repeated_keys)])
    for module in ROUTERS:
        api.include_router(module.router)
    app.include_router(api)
    app.include_router(metrics.router)
    for family in (siglab, vms_family, cloud):
        app.include_router(family, dependencies=[Depends(refuse_repeated_keys)])
    install_feeds(app)
    install_error_handlers(app)
    complete(app)
