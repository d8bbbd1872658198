"""A client of ``cloud`` as one was written at its time: forms, a cookie, JSON; nothing of the server imported."""

from typing import Any

import httpx2

TIMEOUT_S = 60


NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
}
"""What a browser says when a person follows a link or sends a form."""


class CloudBrowser:
    """A person's browser at the older pages: a cookie jar, forms, links."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_S, follow_redirects=True)

    @property
    def cookies(self) -> httpx2.Cookies:
        return self._http.cookies

    def close(self) -> None:
        self._http.close()

    def open(self, path: str) -> httpx2.Response:
        """A link; the page it ends at."""
        return self._http.get(path, headers=NAVIGATION)

    def submit(self, path: str, **form: str) -> httpx2.Response:
        """A form; the page it ends at. ``history`` has the redirects."""
        return self._http.post(path, data=form, headers=NAVIGATION | {"Origin": str(self._http.base_url).rstrip("/")})

    def register(self, full_name: str, email: str, password: str) -> httpx2.Response:
        form = {"full_name": full_name, "email": email, "password": password, "password2": password}
        return self.submit("/auth/register", **form)

    def login(self, email: str, password: str) -> httpx2.Response:
        return self.submit("/auth/login", email=email, password=password)

    def logout(self) -> httpx2.Response:
        return self.open("/auth/logout")


class CloudClient:
    """One user's browser or script; the cookie is kept as they keep it."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_S, headers={"Accept": "application/json"})

    @property
    def cookies(self) -> httpx2.Cookies:
        return self._http.cookies

    def close(self) -> None:
        self._http.close()

    def raw(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request; the answer as it is."""
        return self._http.request(method, path, **options)

    def call(self, method: str, path: str, expected: int = 200, **options: Any) -> Any:
        """One request; the JSON of the answer, which must have the expected status."""
        answer = self.raw(method, path, **options)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return None if expected == 204 else answer.json()

    # ---- /auth

    def register(self, email: str, full_name: str, password: str, expected: int = 201) -> Any:
        form = {"email": email, "full_name": full_name, "password": password}
        return self.call("POST", "/auth/register", expected, data=form)

    def login(self, email: str, password: str, expected: int = 200) -> Any:
        return self.call("POST", "/auth/login", expected, data={"email": email, "password": password})

    def logout(self) -> Any:
        return self.call("GET", "/auth/logout")

    # ---- /templates

    def guardar(self, expected: int = 201, **plantilla: Any) -> Any:
        return self.call("POST", "/templates/guardar", expected, json=plantilla)

    def mostrar(self, template_id: int | None = None) -> Any:
        return self.call("GET", "/templates/mostrar_plantilla", params={"id": template_id} if template_id else None)

    def template(self, template_id: int, expected: int = 200) -> Any:
        return self.call("GET", f"/templates/{template_id}", expected)

    def replace(self, template_id: int, expected: int = 200, **plantilla: Any) -> Any:
        return self.call("PUT", f"/templates/{template_id}", expected, json=plantilla)

    def remove(self, template_id: int) -> None:
        self.call("DELETE", f"/templates/{template_id}", 204)

    def export(self, template_id: int) -> Any:
        return self.call("GET", f"/templates/{template_id}/export")

    # ---- /slices, /flavours, /deployments

    def slices(self) -> Any:
        return self.call("GET", "/slices")

    def make_slice(self, template_id: int, name: str, expected: int = 201) -> Any:
        return self.call("POST", "/slices", expected, json={"template_id": template_id, "name": name})

    def details(self, slice_id: int, expected: int = 200) -> Any:
        return self.call("GET", f"/slices/{slice_id}/details", expected)

    def destroy(self, slice_id: int, expected: int = 202) -> Any:
        return self.call("POST", f"/slices/{slice_id}/destroy", expected)

    def trigger(self, expected: int = 202, **what: Any) -> Any:
        return self.call("POST", "/deployments/trigger", expected, json=what)

    def flavours(self) -> Any:
        return self.call("GET", "/flavours")
