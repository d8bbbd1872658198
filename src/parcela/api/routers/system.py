"""Health."""

from typing import Literal

from fastapi import Response
from pydantic import Field

from parcela.api.dependencies.caller import HealthReader
from parcela.api.dependencies.uow import AppServices
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.common import Schema

router = v1_router("/system", tags=["system"])


class CheckRead(Schema):
    """One part of the system."""

    name: str = Field(examples=["host local"])
    status: str = Field(examples=["ok"], description="`ok`, `low` (little disk space) or `down`")
    detail: str


class UpRead(Schema):
    """What everybody is told."""

    status: Literal["up", "down"] = Field(description="`down`, with 503, while the database does not answer")


class HealthRead(Schema):
    """All parts, for `system:read`."""

    status: Literal["ok", "degraded", "down"] = Field(description="`degraded` when a part is not ok")
    checks: list[CheckRead]


@router.get("/health", summary="Health", responses=problem_responses(401) | {503: {"model": UpRead}})
async def health(services: AppServices, details: HealthReader, response: Response) -> HealthRead | UpRead:
    """Up or down, for everyone, so that monitors need no token; all parts with `system:read`."""
    up = await services.health.is_up()
    if not up:
        response.status_code = 503
    if not details:
        return UpRead(status="up" if up else "down")
    checks = [CheckRead.model_validate(check) for check in await services.health.checks()]
    degraded = any(check.status != "ok" for check in checks)
    return HealthRead(status="down" if not up else "degraded" if degraded else "ok", checks=checks)
