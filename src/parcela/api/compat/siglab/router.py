"""The routes of siglab together, under ``/api``."""

from fastapi import APIRouter

from parcela.api.compat.siglab import auth, machines, maintenance, system

router = APIRouter(prefix="/api", tags=["siglab"])
for part in (machines, maintenance, auth, system):
    router.include_router(part.router)
