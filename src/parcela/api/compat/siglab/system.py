"""``/api/sistema``: health for everybody, figures for who may read the system."""

from pathlib import Path
from typing import Annotated

from fastapi import Depends, Response
from pydantic import BaseModel, Field

from parcela.api.compat.siglab.caller import Requires
from parcela.api.compat.siglab.errors import errors, siglab_router
from parcela.api.dependencies.caller import HealthReader
from parcela.api.dependencies.uow import AppServices, ReadUow
from parcela.core.permissions import Permission
from parcela.services.access import Caller

router = siglab_router("/api/sistema")
SystemReader = Annotated[Caller, Depends(Requires(Permission.SYSTEM_READ))]


class Vivo(BaseModel):
    """What everybody is told."""

    status: str = Field(description="`healthy`; `unhealthy`, with 503, while the database does not answer")


class Salud(BaseModel):
    """Health of the parts, for `system:read`."""

    status: str = Field(description="`healthy`, or `degraded` when a part is not ok", examples=["healthy"])
    server_id: str = Field(examples=["lab-1"])
    servicios: dict[str, str] = Field(description="Parts: `ok`, `low` or `down`", examples=[{"database": "ok"}])


class Metricas(BaseModel):
    """A few figures."""

    server_id: str = Field(examples=["lab-1"])
    memoria_mib: float = Field(description="Resident memory of this process", examples=[120.5])
    operaciones_activas: int = Field(examples=[0])


@router.get("/health", responses=errors(401) | {503: {"model": Vivo}})
async def salud(services: AppServices, details: HealthReader, response: Response) -> Salud | Vivo:
    """Healthy or not, for everybody, so that monitors need no token; the parts with `system:read`."""
    up = await services.health.is_up()
    if not up:
        response.status_code = 503
    if not details:
        return Vivo(status="healthy" if up else "unhealthy")
    checks = {check.name: check.status for check in await services.health.checks()}
    good = all(status == "ok" for status in checks.values())
    status = "unhealthy" if not up else "healthy" if good else "degraded"
    return Salud(status=status, server_id=services.settings.public_server_id, servicios=checks)


@router.get("/metrics", responses=errors(401, 403, 429))
async def metricas(services: AppServices, _caller: SystemReader, uow: ReadUow) -> Metricas:
    """Figures of this server; needs `system:read`."""
    active = await uow.operations.active_count()
    return Metricas(
        server_id=services.settings.public_server_id, memoria_mib=_resident_mib(), operaciones_activas=active
    )


def _resident_mib() -> float:
    """From /proc, in MiB with one decimal."""
    words = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return round(int(words[1]) * 4096 / 2**20, 1)
