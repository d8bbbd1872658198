"""GNS3 server 3 as its package installs it, with a project of so many nodes."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.servers import PASSWORD, Server, free_port, serving

FOLDERS = ("secrets", "images", "projects", "appliances", "symbols", "configs", "resources")


def version(python: Path) -> str:
    code = "import importlib.metadata as m; print(m.version('gns3-server'))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _configured(folder: Path) -> Path:
    """Its configuration: everything below the folder, no reports home. The rest is as it comes."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    paths = [f"{name}_{'dir' if name == 'secrets' else 'path'} = {folder / name}" for name in FOLDERS]
    lines = ["[Controller]", f"default_admin_password = {PASSWORD}"]
    lines += ["[Server]", *paths, "report_errors = False", "auto_discover_images = False"]
    config = folder / "gns3_server.conf"
    config.write_text("\n".join(lines) + "\n")
    return config


@contextlib.contextmanager
def gns3(python: Path, folder: Path) -> Iterator[Server]:
    """A server whose administrator is logged in; ``server.api`` is its REST API."""
    port = free_port()
    command = [str(python.parent / "gns3server"), "--config", str(_configured(folder))]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": ""}
    with serving(command, port, "/v3/version", environment) as server:
        server.api.base_url = f"http://127.0.0.1:{port}/v3"
        body = {"username": "admin", "password": PASSWORD}
        token = server.post("/access/users/authenticate", body)["access_token"]
        server.api.headers["Authorization"] = f"Bearer {token}"
        yield server


def fill(server: Server, count: int) -> str:
    """A project of PCs that are off (GNS3's smallest kind, which needs no other program); the path of their list."""
    project = server.post("/projects", {"name": "bench"})["project_id"]
    for number in range(count):
        node: dict[str, Any] = {"name": f"vm{number}", "node_type": "vpcs", "compute_id": "local"}
        server.post(f"/projects/{project}/nodes", node)
    path = f"/projects/{project}/nodes"
    assert len(server.api.get(path).raise_for_status().json()) == count
    return f"/v3{path}"
