"""Puts the pages together."""

from fastapi import FastAPI

from parcela.web.assets import URL, Assets, ImmutableFiles
from parcela.web.errors import install_error_pages
from parcela.web.pages import (
    api_documents,
    consoles,
    events,
    home,
    invitations,
    language,
    login,
    login_code,
    machines,
    password,
    security,
    single_sign_on,
    slices,
    templates,
    vms,
)
from parcela.web.rendering import Renderer
from parcela.web.site import build_site

PAGES = (
    login,
    login_code,
    single_sign_on,
    password,
    security,
    home,
    invitations,
    templates,
    slices,
    vms,
    consoles,
    events,
    machines,
    language,
    api_documents,
)


def include_web(app: FastAPI) -> None:
    """Attach the pages. Call it after ``include_api``: errors of pages wrap the handlers of the JSON edge."""
    assets = Assets()
    renderer = Renderer(assets)
    app.state.site = build_site(app, renderer, install_error_pages(app, renderer).status_of)
    for module in PAGES:
        app.router.routes.extend(module.router.routes)  # made once, when they were declared
    if assets.built:
        app.mount(URL, ImmutableFiles(directory=assets.folder), name="static")
