"""The routes of ``cloud`` together. Those with fixed words stand before those with an id."""

from parcela.api.compat.cloud import auth, pages, slices, templates

ROUTERS = (auth.router, templates.router, templates.shared, slices.router, slices.shared, pages.router, pages.shared)
