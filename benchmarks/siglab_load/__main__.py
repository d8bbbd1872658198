"""``python -m benchmarks.siglab_load [--seconds 60] [--rate 100]`` in the lab: one instance under the load of siglab.

Behind it stand the MariaDB, MongoDB and Redis that the lab runs; which of them were used is printed.

    .venv/bin/python -m tests.lab --only mariadb,mongo,redis -- .venv/bin/python -m benchmarks.siglab_load
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.servers import empty_database, why_missing

from benchmarks.report import Report, cpu_s
from benchmarks.servers import Server, parcela

MACHINES = 200
RECORDS_PER_MACHINE = 3
USERS = 50
P95_MS, ERRORS_PERCENT, MEMORY_MIB = 500, 0.1, 512
STORES = {"REDIS_URL": "PARCELA_TEST_REDIS_URL", "MONGO_URL": "PARCELA_TEST_MONGO_URL"}


class Watch:
    """The memory of a process, looked at every quarter of a second."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most_mib = 0.0

    def _look(self) -> None:
        while not self._stop.wait(0.25):
            line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS:"))
            self.most_mib = max(self.most_mib, int(line.split()[1]) / 1024)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def instance(folder: Path) -> Iterator[tuple[Server, str]]:
    """One server on what stores there are, and their names."""
    database = "sqlite" if why_missing("mariadb") else "mariadb"
    stores = {name: os.environ[where] for name, where in STORES.items() if os.environ.get(where)}
    names = ", ".join([database, *(name.removesuffix("_URL").lower() for name in stores)])
    with empty_database(database, folder) as url, parcela(folder / "data", DATABASE_URL=url, **stores) as server:
        yield server, names


def furnish(server: Server) -> None:
    """Machines and records, by the routes of siglab."""
    for number in range(MACHINES):
        code = f"PC-{number:04d}"
        body = {"codigo_equipo": code, "tipo_equipo": "PC", "area": f"Laboratorio {number % 9}", "fecha": "2026-01-01"}
        server.api.post(f"http://127.0.0.1:{server.port}/api/maquinas/agregar", json=body).raise_for_status()
        for record in range(RECORDS_PER_MACHINE):
            kind = "preventivo" if record else "correctivo"
            done = {
                "codigo_maquina": code,
                "tipo": kind,
                "fecha": f"2026-0{record + 1}-15",
                "observaciones": "Revisión",
            }
            server.api.post(f"http://127.0.0.1:{server.port}/api/mantenimientos/agregar", json=done).raise_for_status()


def load(server: Server, token: str, seconds: int, rate: float, folder: Path) -> dict[str, Any]:
    """Locust in a process of its own; its figures."""
    result = folder / "result.json"
    environ = os.environ | {
        "SIGLAB_TOKEN": token,
        "SIGLAB_MACHINES": str(MACHINES),
        "SIGLAB_RATE": str(rate),
        "SIGLAB_USERS": str(USERS),
        "SIGLAB_RESULT": str(result),
    }
    script = Path(__file__).with_name("locustfile.py")
    command = [sys.executable, "-m", "locust", "-f", str(script), "--headless", "--only-summary", "--loglevel", "ERROR"]
    more = ["--host", f"http://127.0.0.1:{server.port}", "-u", str(USERS), "-r", str(USERS), "-t", f"{seconds}s"]
    subprocess.run([*command, *more, "--exit-code-on-error", "0"], env=environ, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, instance(Path(name)) as (server, stores):
        token = server.login()
        furnish(server)
        load(server, token, 3, arguments.rate, Path(name))  # what is done once is not measured
        report = Report(f"siglab: {arguments.rate:g} requests/s for {arguments.seconds} s, one instance on {stores}")
        used_s = cpu_s(server.process.pid)
        with Watch(server.process.pid) as watch:
            found = load(server, token, arguments.seconds, arguments.rate, Path(name))
        used_s = cpu_s(server.process.pid) - used_s
    show(report, found, arguments.seconds, arguments.rate, used_s, watch.most_mib)
    return 1 if report.missed else 0


def show(report: Report, found: dict[str, Any], seconds: int, rate: float, used_s: float, most_mib: float) -> None:
    total = found["rows"]["Aggregated"]
    report.at_least("requests/s that were answered", round(rate * 0.97, 1), [total["per_s"]], "/s")
    report.at_most("p95 of all requests", P95_MS, [total["p95_ms"]], " ms")
    report.at_most("errors", ERRORS_PERCENT, [100 * total["failures"] / total["requests"]], " %")
    report.at_most("resident memory, the most that was seen", MEMORY_MIB, [most_mib], " MiB")
    report.fact("processor", f"{used_s / seconds:.0%} of one")
    for name, row in sorted(found["rows"].items()):
        shown = f"p50 {row['p50_ms']:.0f}, p95 {row['p95_ms']:.0f}, p99 {row['p99_ms']:.0f} ms"
        report.fact(f"  {name}", f"{row['requests']} requests, {row['failures']} failed, {shown}")
    for error in found["errors"]:
        report.note(error)
    report.print()


if __name__ == "__main__":
    sys.exit(main())
