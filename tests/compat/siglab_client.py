"""The clients that siglab really has, request by request: the pages, the load script and the dashboard of the proxy.

Nothing of the server is imported. The pages keep what the login gave them and send no ``Authorization``; the browser
adds cookies and the headers of a page of the same origin. Where the pages do not look at the status, neither does this
client: it reads the body as they do, and dies where they die.
"""

import json
from collections import Counter
from typing import Any

import httpx2

TIMEOUT_S = 60
FORM_STATES = ("operativa", "en mantenimiento", "fuera de servicio")
"""The choices of the forms; the one that is equal to ``estado`` as it stands is chosen beforehand."""
MACHINE = {
    "tipo_equipo": "PC",
    "estado_actual": "operativa",
    "area": "Laboratorio 1",
    "fecha": "2026-03-01",
    "usuario": "",
}
RECORD = {
    "empresa": "Servicios SAC",
    "tecnico": "Rosa Díaz",
    "tipo": "preventivo",
    "fecha": "2026-05-10",
    "observaciones": "Limpieza general",
    "usuario": "Ana Quispe",
}


class PageDiedError(AssertionError):
    """A script of the page has failed, and the page is white."""


class SaidError(AssertionError):
    """The page shows a fault; its text."""


def _array(body: Any) -> list[Any]:
    if not isinstance(body, list):
        raise PageDiedError(f"{body} has no method 'map'")
    return body


def _lower(value: Any) -> str:
    if not isinstance(value, str):
        raise PageDiedError(f"{value}.toLowerCase is not a function")
    return value.lower()


class Pages:
    """A browser with the pages open, at their own origin."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.storage: dict[str, Any] = {}
        """What the pages keep between requests (sessionStorage)."""
        browser = {
            "Accept": "*/*",
            "Accept-Language": "es-PE,es;q=0.9",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Dest": "empty",
        }
        self.http = httpx2.Client(base_url=url, timeout=TIMEOUT_S, headers=browser, follow_redirects=True)

    def close(self) -> None:
        self.http.close()

    def fetch(self, method: str, path: str, body: Any = None, **params: str) -> httpx2.Response:
        """``fetch`` with default credentials, and with the headers that browsers add."""
        headers = {"Referer": f"{self.url}/inicio"}
        if method != "GET":
            headers["Origin"] = self.url
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body)
        answer = self.http.request(method, path, headers=headers, content=content, params=params or None)
        assert answer.headers["X-Server-Id"]
        return answer

    def _checked(self, answer: httpx2.Response) -> Any:
        """Of pages that look at the status: the body, or the text of ``detail`` on the screen."""
        body = answer.json()
        if not answer.is_success:
            assert isinstance(body["detail"], str), "[object Object] on the screen"
            raise SaidError(body["detail"])
        return body

    # ---- /login and /registro

    def log_in(self, username: str, password: str) -> None:
        answer = self.fetch("POST", "/api/auth/login", {"username": username, "password": password})
        body = self._checked(answer)
        assert isinstance(body["token"], str)
        assert body["token"], "without it every page goes to /login"
        self.storage = {"token": body["token"], "usuario": body["usuario"]}

    @property
    def greeting(self) -> str:
        """The name at the top of every page."""
        user = self.storage["usuario"]
        name = user.get("nombre_completo") or user["username"]
        assert isinstance(name, str)
        return name

    def leave(self) -> None:
        """Removes what is kept; no request tells the server."""
        self.storage = {}

    def register(self, full_name: str, username: str, password: str) -> None:
        body = {"nombre_completo": full_name, "username": username, "password": password}
        self._checked(self.fetch("POST", "/api/auth/register", body))

    # ---- /maquinas

    def machines(self) -> dict[str, dict[str, Any]]:
        """The table, by code."""
        rows = _array(self.fetch("GET", "/api/maquinas/listar").json())
        for row in rows:
            for name in ("codigo", "area", "tipo", "estado"):
                _lower(row[name])
            assert row["usuario"] is None or isinstance(row["usuario"], str)
            year, month, day = row["fecha"].split("-")
            assert (len(year), len(month), len(day)) == (4, 2, 2)
        return {row["codigo"]: row for row in rows}

    def add_machine(self, code: str, **typed: str) -> Any:
        return self._checked(self.fetch("POST", "/api/maquinas/agregar", MACHINE | {"codigo_equipo": code} | typed))

    def change_machine(self, code: str, **typed: str) -> Any:
        """The change form: as the list has it, but for what is typed. It says "saved" whatever comes back."""
        row = self.machines()[code]
        read = {
            "tipo_equipo": row["tipo"],
            "codigo_equipo": row["codigo"],
            "estado_actual": row["estado"],
            "area": row["area"],
            "fecha": row["fecha"],
            "usuario": row["usuario"] or "",
        }
        return self.fetch("PUT", "/api/maquinas/actualizar", read | typed).json()

    def preselected(self, code: str) -> str:
        """The state that the change form shows; the first one where none is equal."""
        state = self.machines()[code]["estado"]
        return state if state in FORM_STATES else FORM_STATES[0]

    def remove_machine(self, code: str) -> dict[str, dict[str, Any]]:
        """Says "removed" whatever comes back, and loads the table again."""
        self.fetch("DELETE", f"/api/maquinas/eliminar/{code}").json()
        return self.machines()

    def search(self, term: str) -> list[str]:
        """In the proxy's list of addresses, though no page has a field for it; the codes that are found."""
        return [row["codigo"] for row in _array(self.fetch("GET", "/api/maquinas/buscar", termino=term).json())]

    # ---- /mantenimiento and /informes

    def add_record(self, code: str, **typed: str) -> Any:
        """Says "saved" whatever comes back."""
        return self.fetch("POST", "/api/mantenimiento/agregar", RECORD | {"codigo_maquina": code} | typed).json()

    def records(self, code: str) -> list[dict[str, Any]]:
        """The history of a machine, as it is shown."""
        answer = self.fetch("GET", f"/api/mantenimiento/listar/{code}")
        rows = _array(answer.json())
        assert answer.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"
        keys = [row.get("_id") for row in rows]
        assert len(set(keys)) == len(keys), "two rows of a table with one key"
        shown = ("fecha", "tipo", "tecnico", "empresa", "observaciones")
        return [{name: row[name] for name in shown} for row in rows]

    def report(self, part: str = "") -> list[dict[str, Any]]:
        """The general report, of all or of codes with a part."""
        params = {"codigo": part} if part else {}
        found = _array(self._checked(self.fetch("GET", "/api/mantenimiento/informe-general", **params)))
        for machine in found:
            for name in ("codigo", "area", "estado"):
                _lower(machine[name])
            for record in machine["mantenimientos"]:
                _lower(record["tecnico"])
                _lower(record["tipo"])
                _lower(record["observaciones"])
                assert record["fecha"]
        return found


class LoadScript:
    """The load script: JSON as a text without ``Content-Type``, codes of its own, and only a look at the status."""

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"User-Agent": "k6/0.51.0 (https://k6.io/)"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.statuses: list[int] = []
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_S, headers=headers)

    def close(self) -> None:
        self._http.close()

    def iteration(self, number: int, now_ms: int) -> str:
        """One request; the code it has added."""
        code = f"TM-{now_ms}-{number:03d}"
        body = {
            "tipo_equipo": ("PC", "IMP")[number % 2],
            "codigo_equipo": code,
            "estado_actual": ("Operativo", "Mantenimiento", "Dañado")[number % 3],
            "area": f"Área {number % 5}",
            "fecha": "2026-03-01",
        }
        request = self._http.build_request("POST", "/api/maquinas/agregar", content=json.dumps(body))
        assert "content-type" not in request.headers
        self.statuses.append(self._http.send(request).status_code)
        return code


def dashboard_counts(log: list[tuple[str, int]]) -> Counter[str]:
    """What the dashboard makes of the proxy's access log (upstream, status): everything but 200 is a dead server."""
    return Counter(server if status == 200 else f"{server} dead" for server, status in log)
