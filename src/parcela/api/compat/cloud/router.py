"""The routes of ``cloud`` together. Those with fixed words stand before those with an id."""

from fastapi import APIRouter

from parcela.api.compat.cloud import auth, slices, templates

router = APIRouter(tags=["cloud"])
for part in (auth.router, templates.router, templates.shared, slices.router, slices.shared):
    router.include_router(part)
