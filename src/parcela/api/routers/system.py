"""Health and version."""

from pydantic import Field

from parcela.api.dependencies.uow import AppServices
from parcela.api.routing import v1_router
from parcela.api.schemas.common import Schema

router = v1_router("/system", tags=["system"])


class CheckRead(Schema):
    """One part of the system."""

    name: str = Field(examples=["host local"])
    status: str = Field(examples=["ok"], description="`ok`, `low` (little disk space) or `down`")
    detail: str


class HealthRead(Schema):
    """All parts."""

    status: str = Field(examples=["ok"], description="`ok`, or `degraded` when a part is not ok")
    checks: list[CheckRead]


@router.get("/health", summary="Health of all parts")
async def health(services: AppServices) -> HealthRead:
    """Always 200 while Parcela itself answers; for everyone, so that monitors need no token."""
    checks = [CheckRead.model_validate(check) for check in await services.health.checks()]
    degraded = any(check.status != "ok" for check in checks)
    return HealthRead(status="degraded" if degraded else "ok", checks=checks)
