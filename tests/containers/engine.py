"""A podman of the tests' own: storage, networks and state in one folder, images that stand in for those of a registry.

The images that ``deploy/`` names cannot be pulled everywhere, so images of the same names are built from Debian's
packages (``images/``): what a real one does differently is not seen here. Built images are kept between runs.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
IMAGES = Path(__file__).parent / "images"
KEPT = REPOSITORY / ".cache" / "containers"
PROGRAMS = ("podman", "podman-compose", "runc", "mmdebstrap")
BASE = "docker.io/library/debian:bookworm-slim"
STAND_INS: Mapping[str, str] = {
    "python": "docker.io/library/python:3.11-slim-bookworm",
    "node": "docker.io/library/node:22-bookworm-slim",
    "mariadb": "docker.io/library/mariadb:11.4.4",
    "adminer": "docker.io/library/adminer:4.8.1-standalone",
    "nginx": "docker.io/library/nginx:1.27.3",
    "redis": "docker.io/library/redis:7.4.1",
    "mongo": "docker.io/library/mongo:6.0.19",
}
"""File of ``images/`` -> the name it gets; in this order, as node and mongo are built on python."""
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
OF_THE_MACHINE = (
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "NPM_CONFIG_REGISTRY",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
)
"""How this machine reaches its registries; a stand-in knows it too, so that the Dockerfile is built as it stands."""
STEP_TIMEOUT_S = 1500
PATIENCE_S = 300.0


def why_no_engine() -> str:
    """The reason for which no container runs here, or ""."""
    if os.geteuid() != 0:
        return "containers with networks of their own need root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(missing)} not found; `make test-containers` installs it" if missing else ""


class Engine:
    """Runs podman and podman-compose with a configuration of its own; what they run ends with ``down``."""

    def __init__(self, folder: Path) -> None:
        """``folder``: for images and state; the storage of the machine's own podman is not touched."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "containers.conf").write_text(
            # Raising limits may be forbidden where this runs; crun does not know the hybrid layout of cgroups.
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder / "networks"}"\n'
            '[engine]\nruntime = "runc"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n'
            f'tmp_dir = "{folder / "tmp"}"\n'
        )
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder / "root"}"\nrunroot = "{folder / "run"}"\n'
        )
        self._environment = os.environ | {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            # Images that can say how healthy they are.
            "BUILDAH_FORMAT": "docker",
        }

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        """Run a program in the checkout.

        Returns:
            What it wrote, errors included.

        Raises:
            AssertionError: it failed; with the end of what it wrote.
        """
        done = subprocess.run(
            command,
            env=self._environment | environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-6000:]}"
        return done.stdout

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman; what it wrote."""
        return self.run("podman", *arguments, check=check)

    def has(self, image: str) -> bool:
        """Whether an image is there."""
        return bool(self.podman("images", "--quiet", image).strip())

    def make_stand_ins(self) -> None:
        """Build the images that the files of ``deploy/`` name, those that have changed."""
        if not self.has(BASE):
            tar = self._folder / "base.tar"
            self.run("mmdebstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(tar))
            self.podman("import", str(tar), BASE)
            tar.unlink()
        known = {name: os.environ[name] for name in OF_THE_MACHINE if os.environ.get(name)}
        options = [part for name, value in known.items() for part in ("--env", f"{name}={value}")]
        if BUNDLE.is_file():
            options += ["--volume", f"{BUNDLE}:{BUNDLE}:ro"]
        for name, tag in STAND_INS.items():
            file = str(IMAGES / f"{name}.Containerfile")
            self.podman("build", "--layers", "--network", "host", *options, "--tag", tag, "--file", file, str(IMAGES))

    def build_app(self) -> None:
        """Build ``parcela:local`` of the Dockerfile, as compose would, with the network of this machine."""
        options = ["--volume", f"{BUNDLE}:{BUNDLE}:ro"] if BUNDLE.is_file() else []
        ignore = "deploy/Dockerfile.dockerignore"
        command = ["--file", "deploy/Dockerfile", "--ignorefile", ignore, "--tag", "parcela:local", "."]
        self.podman("build", "--layers", "--network", "host", *options, *command)

    def reset(self) -> None:
        """Remove containers, volumes and networks of an earlier run that was cut off."""
        self.podman("rm", "--all", "--force", "--time", "0", check=False)
        self.podman("volume", "rm", "--all", "--force", check=False)
        self.podman("network", "prune", "--force", check=False)


class Project:
    """What one compose file starts."""

    def __init__(self, engine: Engine, name: str, file: str, environment: Mapping[str, str]) -> None:
        """``environment``: what fills the placeholders of the file."""
        self._engine = engine
        self._name = name
        self._file = file
        self._environment = environment

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run podman-compose; what it wrote."""
        command = ("podman-compose", "-p", self._name, "-f", f"deploy/{self._file}", *arguments)
        return self._engine.run(*command, check=check, **self._environment)

    def container(self, service: str) -> str:
        """The name of the container of a service."""
        return f"{self._name}_{service}_1"

    def up(self, services: Sequence[str]) -> None:
        """Start all, and wait until each of these services says that it is healthy."""
        self.compose("up", "-d")
        self.wait(services)

    def wait(self, services: Sequence[str]) -> None:
        """Wait until services say that they are healthy.

        podman asks by timers of systemd, which is not everywhere; so they are asked here.

        Raises:
            AssertionError: one does not become healthy; with its log.
        """
        deadline = time.monotonic() + PATIENCE_S
        waiting = list(services)
        while waiting:
            said = self._engine.podman("healthcheck", "run", self.container(waiting[0]), check=False)
            if self.health(waiting[0]) == "healthy" and not said.strip():
                waiting.pop(0)
                continue
            assert time.monotonic() < deadline, f"{waiting[0]}: {said}\n{self.logs(waiting[0])}"
            time.sleep(0.5)  # between two looks, not a guess of how long it takes

    def health(self, service: str) -> str:
        """What podman knows of its last check."""
        state = json.loads(self._engine.podman("inspect", self.container(service)))[0]["State"]
        return str(state.get("Health", state.get("Healthcheck", {})).get("Status", ""))

    def restart(self, *services: str) -> None:
        """Stop and start the containers of services, in this order; nobody waits for them."""
        for service in services:
            self._engine.podman("restart", self.container(service))

    def logs(self, service: str) -> str:
        """The end of what a service wrote."""
        return self._engine.podman("logs", "--tail", "40", self.container(service), check=False)

    def listing(self) -> str:
        """What ``podman ps`` says."""
        return self._engine.podman("ps", "--all", "--format", "{{.Names}} {{.Status}}")

    def down(self) -> None:
        """Remove containers, volumes and networks."""
        self.compose("down", "--volumes", check=False)
