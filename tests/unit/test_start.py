"""What a start is spared: libraries that a usual process never uses, routes made twice, collections of garbage."""

import gc
import os
import subprocess
import sys

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute

from parcela.api.app import include_api
from parcela.core.collector import keep_what_is_there, no_collections
from parcela.db.migrate import upgrade
from parcela.web.app import include_web

NOT_NEEDED = {
    "aiomysql": "SQLite is the default",
    "asyncpg": "the same",
    "pymysql": "the same",
    "aiosmtplib": "no mail server is named",
    "alembic": "the schema is the newest already",
    "mako": "the same",
    "authlib": "no provider is named",
    "httpx2": "there are no webhooks",
    "libvirt": "the hypervisor is the simulated one",
    "matplotlib": "reports are written in processes of their own",
    "numpy": "the same",
    "typst": "the same",
    "xlsxwriter": "the same",
    "pymongo": "no MongoDB is named",
    "redis": "no Redis is named",
    "yaml": "documents are for other commands",
    "segno": "nobody wants a label or a second factor",
}
START = """
import asyncio, gc, sys
import parcela.cli.app, parcela.cli.local.server
from parcela.core.settings import load_settings
from parcela.db import schema
assert schema.is_current(load_settings().resolved_database_url)
gc.disable()
from parcela.main import app_from_environment
async def start():
    app = app_from_environment()
    async with app.router.lifespan_context(app):
        print("LOADED", gc.isenabled(), gc.get_freeze_count() > 0, *sys.modules)
asyncio.run(start())
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a process with the settings of a new installation says when it could answer."""
    folder = tmp_path_factory.mktemp("start")
    upgrade(f"sqlite:///{folder / 'parcela.db'}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PARCELA_", "DATABASE_"))}
    environment = {**kept, "PARCELA_DATA_DIR": str(folder), "PARCELA_HYPERVISOR": "simulated"}
    done = subprocess.run(
        [sys.executable, "-c", START], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert lines, done.stderr
    return lines[0].split()[1:]


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_a_usual_start_does_not_load(started: list[str], name: str) -> None:
    assert name not in started[2:], f"not needed: {NOT_NEEDED[name]}"


def test_the_list_is_of_modules_that_there_are(started: list[str]) -> None:
    assert {"sqlalchemy", "fastapi", "parcela.main"} <= set(started)


def test_a_started_process_collects_garbage_but_not_what_it_started_with(started: list[str]) -> None:
    assert started[:2] == ["True", "True"]


def test_applications_share_their_routes() -> None:
    apps = [FastAPI(), FastAPI()]
    for app in apps:
        include_api(app)
        include_web(app)
    one, other = ([route for route in app.routes if hasattr(route, "dependant")] for app in apps)
    assert len(one) > 200
    assert all(isinstance(route, APIRoute | APIWebSocketRoute) for route in one)
    assert all(first is second for first, second in zip(one, other, strict=True))


def test_the_collector_rests_and_works_again() -> None:
    with no_collections():
        assert not gc.isenabled()
    assert gc.isenabled()
    with no_collections():
        keep_what_is_there()
        assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
