"""What users of siglab do: mostly look, now and then write. Run by ``benchmarks.siglab_load``.

Settings come by the environment: SIGLAB_TOKEN, SIGLAB_MACHINES (how many there are), SIGLAB_RATE (requests per second
of all users together), SIGLAB_USERS, SIGLAB_RESULT (file for the figures).
"""

import json
import os
import random
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task

MACHINES = int(os.environ["SIGLAB_MACHINES"])
USERS = int(os.environ["SIGLAB_USERS"])
RATE = float(os.environ["SIGLAB_RATE"])


class Technician(FastHttpUser):
    """Somebody with the old client open."""

    wait_time = constant_throughput(RATE / USERS)

    def on_start(self) -> None:
        self.headers = {"Authorization": f"Bearer {os.environ['SIGLAB_TOKEN']}"}
        self.random = random.Random(id(self))  # noqa: S311 (a mix of requests, no secret)

    def _code(self) -> str:
        return f"PC-{self.random.randrange(MACHINES):04d}"

    def _get(self, path: str, name: str) -> None:
        self.client.get(path, headers=self.headers, name=name)

    @task(25)
    def listar(self) -> None:
        self._get("/api/maquinas/listar", "listar")

    @task(20)
    def buscar(self) -> None:
        self._get(f"/api/maquinas/buscar?q={self._code().lower()}", "buscar")

    @task(20)
    def historial(self) -> None:
        self._get(f"/api/mantenimientos/historial/{self._code()}", "historial")

    @task(10)
    def todos(self) -> None:
        self._get("/api/mantenimientos/todos?limite=100", "todos")

    @task(10)
    def dashboard(self) -> None:
        self._get("/api/maquinas/dashboard", "dashboard")

    @task(2)
    def informe(self) -> None:
        self._get(f"/api/mantenimientos/informe?codigo={self._code()}", "informe")

    @task(3)
    def salud(self) -> None:
        self._get("/api/sistema/health", "health")

    @task(5)
    def mantenimiento(self) -> None:
        body = {
            "codigo_maquina": self._code(),
            "empresa": "Servicios SAC",
            "tecnico": "Rosa Díaz",
            "tipo": self.random.choice(["preventivo", "correctivo"]),
            "fecha": f"2026-{self.random.randint(1, 9):02d}-{self.random.randint(1, 28):02d}",
            "observaciones": "Limpieza general",
        }
        self.client.post("/api/mantenimientos/agregar", json=body, headers=self.headers, name="mantenimientos/agregar")

    @task(5)
    def actualizar(self) -> None:
        body = {"codigo_equipo": self._code(), "area": f"Laboratorio {self.random.randint(1, 9)}"}
        self.client.put("/api/maquinas/actualizar", json=body, headers=self.headers, name="actualizar")


def _write(environment: Any, **_kwargs: object) -> None:
    """Leave the figures behind."""
    rows = {
        entry.name: _figures(entry)
        for entry in [*environment.stats.entries.values(), environment.stats.total]
        if entry.num_requests
    }
    errors = [
        f"{error.occurrences} x {error.method} {error.name}: {error.error}"
        for error in environment.stats.errors.values()
    ]
    Path(os.environ["SIGLAB_RESULT"]).write_text(json.dumps({"rows": rows, "errors": errors}))


events.quitting.add_listener(_write)  # type: ignore[no-untyped-call]


def _figures(entry: Any) -> dict[str, float]:
    return {
        "requests": entry.num_requests,
        "failures": entry.num_failures,
        "per_s": entry.total_rps,
        "p50_ms": entry.get_response_time_percentile(0.5),
        "p95_ms": entry.get_response_time_percentile(0.95),
        "p99_ms": entry.get_response_time_percentile(0.99),
    }
