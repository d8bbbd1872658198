"""Webhooks: ``/webhooks/``."""

from typing import Annotated

from fastapi import Depends, Query

from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead, fields_set
from parcela.api.schemas.flavours import RowId
from parcela.api.schemas.webhooks import DeliveryRead, WebhookCreate, WebhookRead, WebhookSecretRead, WebhookUpdate
from parcela.core.permissions import Permission
from parcela.models import DeliveryState, Webhook
from parcela.services.access import Caller
from parcela.services.webhooks.webhooks import WebhookWithSecret

router = v1_router("/webhooks", tags=["webhooks"])
Creator = Annotated[Caller, Depends(Requires(Permission.WEBHOOK_CREATE))]
StateFilter = Annotated[DeliveryState | None, Query(description="Only deliveries in this state")]


def _read(row: Webhook) -> WebhookRead:
    return WebhookRead.model_validate(row)


def _with_secret(made: WebhookWithSecret) -> WebhookSecretRead:
    return WebhookSecretRead(**_read(made.webhook).model_dump(), secret=made.secret)


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_webhooks(
    services: AppServices, caller: CurrentCaller, uow: ReadUow, paging: Paging
) -> PageRead[WebhookRead]:
    """List your webhooks (all with `webhook:read_all`); sorted by id, name or created_at."""
    page = await services.observing.webhooks.page(uow, caller, paging)
    return PageRead(items=[WebhookRead.model_validate(dict(row)) for row in page.rows], next_cursor=page.next_cursor)


@router.post("/", status_code=201, responses=problem_responses(400, 401, 403, 409, 413, 422))
async def create_webhook(
    body: WebhookCreate, services: AppServices, caller: Creator, uow: WriteUow
) -> WebhookSecretRead:
    """Be told of events by HTTP. The answer holds the secret that signs them; it is not shown again."""
    return _with_secret(await services.observing.webhooks.create(uow, caller, **body.model_dump()))


@router.get("/{webhook_id}", responses=problem_responses(401, 404, 422))
async def get_webhook(webhook_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> WebhookRead:
    """Read a webhook."""
    return _read(await services.observing.webhooks.get(uow, caller, webhook_id))


@router.patch("/{webhook_id}", responses=problem_responses(400, 401, 403, 404, 412, 413, 422))
async def update_webhook(
    webhook_id: RowId,
    body: WebhookUpdate,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> WebhookRead:
    """Change a webhook, or switch it off and on. Events of the time it was off are not delivered."""
    row = await services.observing.webhooks.update(uow, caller, webhook_id, fields_set(body), precondition.of(_read))
    return _read(row)


@router.delete("/{webhook_id}", status_code=204, responses=problem_responses(401, 403, 404, 412, 422))
async def delete_webhook(
    webhook_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a webhook and its deliveries."""
    webhooks = services.observing.webhooks
    await webhooks.delete(uow, caller, webhook_id, precondition.of(_read))


@router.post("/{webhook_id}/rotate-secret", responses=problem_responses(401, 403, 404, 422))
async def rotate_secret(
    webhook_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow
) -> WebhookSecretRead:
    """Give it a new secret. For a day every delivery is signed with the old one as well."""
    return _with_secret(await services.observing.webhooks.rotate(uow, caller, webhook_id))


@router.get("/{webhook_id}/deliveries", responses=problem_responses(401, 404, 422))
async def list_deliveries(
    webhook_id: RowId,
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    paging: Paging,
    state: StateFilter = None,
) -> PageRead[DeliveryRead]:
    """What became of each event; sorted by id, event_id or created_at. Ended deliveries are kept for thirty days."""
    wanted = state.value if state else None
    page = await services.observing.webhooks.deliveries(uow, caller, webhook_id, paging, state=wanted)
    return PageRead(items=[DeliveryRead.model_validate(dict(row)) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/resend",
    status_code=202,
    responses=problem_responses(401, 403, 404, 409, 422),
)
async def resend_delivery(
    webhook_id: RowId, delivery_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow
) -> DeliveryRead:
    """Deliver an event once more, now, with the same number."""
    delivery = await services.observing.webhooks.resend(uow, caller, webhook_id, delivery_id)
    return DeliveryRead.model_validate(delivery)
