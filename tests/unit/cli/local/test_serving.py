"""``parcela serve``: the application knows the address that is really served."""

import socket
from pathlib import Path

import pytest
import uvicorn

from parcela.core.settings import Settings, env_name, load_settings
from parcela.core.sites import own_site
from tests.unit.cli.support import run


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """A free one; no settings but those of the test, and none left behind."""
    for name in Settings.model_fields:
        monkeypatch.setenv(env_name(name), "")  # so that what the command sets is taken back
        monkeypatch.delenv(env_name(name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARCELA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PARCELA_HYPERVISOR", "simulated")
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def test_the_options_count_for_the_application(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[str, int]] = []

    def serve(server: uvicorn.Server) -> None:
        served.append((server.config.host, server.config.port))
        server.started = True

    monkeypatch.setattr(uvicorn.Server, "run", serve)
    assert run("serve", "--host", "127.0.0.1", "--port", str(port)).code == 0
    settings = load_settings()
    assert served == [("127.0.0.1", port)]
    listen = (settings.listen_host, settings.listen_port)
    assert own_site("http://evil.example/", "", listen) == f"http://127.0.0.1:{port}"
