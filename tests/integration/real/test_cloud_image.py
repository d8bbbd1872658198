"""A real cloud image: Debian 12 with cloud-init, uploaded as a user would and configured by our NoCloud seed."""

import os
from pathlib import Path

import pytest

from tests.integration.real.harness import Server, need

pytestmark = [pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]
USER_DATA = """#cloud-config
runcmd:
  - [sh, -c, 'echo "SEED READ BY $(hostname)" > /dev/ttyS0']
"""


def test_a_debian_cloud_image_reads_its_seed(server: Server) -> None:
    folder = Path(need("PARCELA_TEST_DEBIAN_DIR", "PARCELA_TEST_DEBIAN_SKIP"))
    image = folder / "debian-12.qcow2"
    parameters = {"name": "debian-12", "os_type": "linux", "os_version": "12", "min_memory_mib": "256"}
    with image.open("rb") as content:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(os.fstat(content.fileno()).st_size),
        }
        answer = server.api.post("/images/", params=parameters, content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["format"] == "qcow2"

    body = {"name": "deb", "os": "debian-12", "cores": 2, "ram": 512, "disk": 3, "user_data": USER_DATA}
    made = server.post("/virtual-machines/", body)
    server.succeed({"id": made["operation_id"]})
    with server.console(made["id"]) as console:
        console.wait_for("SEED READ BY deb")
    server.delete(f"/virtual-machines/{made['id']}")
    assert server.domains() == set()
