"""What esbuild made of ``frontend/``: names with content hashes, so that browsers may keep them for ever."""

import json
from collections.abc import Mapping
from mimetypes import guess_type
from pathlib import Path

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

log = structlog.get_logger(__name__)

DIST = Path(__file__).parent / "static" / "dist"
URL = "/static"


class Assets:
    """Names in templates -> addresses with hashes."""

    def __init__(self, folder: Path = DIST) -> None:
        """Read the manifest; without one, pages go without scripts and styles, and the log says so."""
        self.folder = folder
        self._names: Mapping[str, str] = {}
        try:
            self._names = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            hint = "pages go without scripts and styles; build them with scripts/setup.sh run"
            log.warning("web.no_assets", folder=str(folder), reason=str(exc), hint=hint)

    @property
    def built(self) -> bool:
        """Whether there are any."""
        return bool(self._names)

    def has(self, name: str) -> bool:
        """Whether an asset was built."""
        return name in self._names

    def url(self, name: str) -> str:
        """Address of an asset, e.g. of ``app.js``."""
        return f"{URL}/{self._names[name]}"


class ImmutableFiles(StaticFiles):
    """Serves files whose names change with their content, compressed as the build left them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Let browsers keep what is there; an error is kept by nobody."""
        response = await self._compressed(path, scope) or await super().get_response(path, scope)
        if response.status_code in {200, 206, 304}:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    async def _compressed(self, path: str, scope: Scope) -> Response | None:
        """The file ``<path>.gz``, where there is one and the client takes it."""
        headers = Headers(scope=scope)
        if "gzip" not in headers.get("accept-encoding", "") or "range" in headers or path.endswith(".gz"):
            return None
        try:
            response = await super().get_response(f"{path}.gz", scope)
        except HTTPException:
            return None
        response.headers["Vary"] = "Accept-Encoding"
        if response.status_code == 200:
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Content-Type"] = guess_type(path)[0] or "application/octet-stream"
        return response
