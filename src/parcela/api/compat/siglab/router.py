"""The routes of siglab together, under ``/api``."""

from fastapi import APIRouter

from parcela.api.compat.siglab import auth, system

router = APIRouter(prefix="/api", tags=["siglab"])
for part in (auth, system):
    router.include_router(part.router)
