"""A program written after siglab's README: routes in the plural, Spanish fields, the login's token as bearer."""

from typing import Any

import httpx2

TIMEOUT_S = 60


class SiglabProgram:
    """One user of the API. Every answer must say which server gave it."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, expected: int = 200, **options: Any) -> Any:
        """One request; the JSON of the answer, which must have the expected status."""
        answer = self.raw(method, path, **options)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        body = answer.json()
        if expected >= 400:
            assert isinstance(body["detail"], str), body
            assert body["message"] == body["detail"]
        return body

    def raw(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request; the answer as it is."""
        answer = self._http.request(method, path, **options)
        assert answer.headers["X-Server-Id"]
        return answer

    # ---- /api/auth

    def registrar(self, username: str, password: str, rol: str = "cliente", expected: int = 200) -> Any:
        body = {"nombre_completo": f"Persona {username}", "username": username, "password": password, "rol": rol}
        return self.call("POST", "/api/auth/register", expected, json=body)

    def entrar(self, username: str, password: str, expected: int = 200) -> Any:
        """Log in; the token is sent from then on."""
        self._http.headers.pop("Authorization", None)
        body = self.call("POST", "/api/auth/login", expected, json={"username": username, "password": password})
        if expected == 200:
            self._http.headers["Authorization"] = f"Bearer {body['token']}"
        return body

    def usuarios_activos(self, expected: int = 200) -> Any:
        return self.call("GET", "/api/auth/usuarios/activos", expected)

    # ---- /api/maquinas

    def agregar_maquina(self, codigo: str, expected: int = 200, **datos: Any) -> Any:
        body = {
            "codigo_equipo": codigo,
            "tipo_equipo": "PC",
            "estado_actual": "Operativo",
            "area": "Laboratorio 1",
            "fecha": "2026-01-01",
        } | datos
        return self.call("POST", "/api/maquinas/agregar", expected, json=body)

    def listar(self, **filtros: Any) -> Any:
        return self.call("GET", "/api/maquinas/listar", params=filtros)

    def buscar(self, texto: str) -> Any:
        return self.call("GET", "/api/maquinas/buscar", params={"q": texto})

    def actualizar_maquina(self, codigo: str, expected: int = 200, **datos: Any) -> Any:
        return self.call("PUT", "/api/maquinas/actualizar", expected, json={"codigo_equipo": codigo} | datos)

    def eliminar_maquina(self, codigo: str, expected: int = 200) -> Any:
        return self.call("DELETE", f"/api/maquinas/eliminar/{codigo}", expected)

    def dashboard(self) -> Any:
        return self.call("GET", "/api/maquinas/dashboard")

    # ---- /api/mantenimientos

    def agregar_mantenimiento(self, codigo: str, expected: int = 200, **datos: Any) -> Any:
        body = {
            "codigo_maquina": codigo,
            "empresa": "Servicios SAC",
            "tecnico": "Rosa Díaz",
            "tipo": "preventivo",
            "fecha": "2026-05-10",
            "observaciones": "Limpieza general",
        } | datos
        return self.call("POST", "/api/mantenimientos/agregar", expected, json=body)

    def historial(self, codigo: str, expected: int = 200) -> Any:
        return self.call("GET", f"/api/mantenimientos/historial/{codigo}", expected)

    def informe(self, **filtros: Any) -> Any:
        return self.call("GET", "/api/mantenimientos/informe", params=filtros)

    def todos(self) -> Any:
        return self.call("GET", "/api/mantenimientos/todos")

    # ---- /api/sistema

    def salud(self) -> Any:
        return self.call("GET", "/api/sistema/health")

    def metricas(self, expected: int = 200) -> Any:
        return self.call("GET", "/api/sistema/metrics", expected)
