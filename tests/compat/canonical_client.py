"""A client of the canonical routes that ``vm_api`` has addresses in common with: JSON and a bearer token."""

from typing import Any

import httpx2

TIMEOUT_S = 60


class CanonicalClient:
    """One user of the API."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=f"{url}/api/v1", timeout=TIMEOUT_S)

    def close(self) -> None:
        self._http.close()

    def raw(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request; the answer as it is."""
        return self._http.request(method, path, **options)

    def call(self, method: str, path: str, expected: int, **options: Any) -> Any:
        """One request; the JSON of the answer, which must have the expected status."""
        answer = self.raw(method, path, **options)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def login(self, email: str, password: str, expected: int = 200) -> Any:
        """Log in; the token is sent from then on."""
        return self._keep(self.call("POST", "/login", expected, json={"email": email, "password": password}))

    def login_by_form(self, username: str, password: str) -> Any:
        """The same as the password flow of OAuth 2 has it."""
        form = {"grant_type": "password", "username": username, "password": password}
        return self._keep(self.call("POST", "/login", 200, data=form))

    def _keep(self, body: Any) -> Any:
        if "access_token" in body:
            self._http.headers["Authorization"] = f"Bearer {body['access_token']}"
        return body

    def create_user(self, expected: int = 201, **fields: Any) -> Any:
        return self.call("POST", "/users/", expected, json=fields)

    def users(self, expected: int = 200, **filters: Any) -> Any:
        return self.call("GET", "/users/", expected, params=filters)

    def me(self, expected: int = 200) -> Any:
        return self.call("GET", "/users/me", expected)

    def create_vm(self, expected: int = 201, **fields: Any) -> Any:
        return self.call("POST", "/virtual-machines/", expected, json=fields)

    def vms(self, **filters: Any) -> Any:
        return self.call("GET", "/virtual-machines/", 200, params=filters)

    def vm(self, vm_id: int, expected: int = 200) -> Any:
        return self.call("GET", f"/virtual-machines/{vm_id}", expected)

    def update_vm(self, vm_id: int, expected: int = 200, **fields: Any) -> Any:
        return self.call("PUT", f"/virtual-machines/{vm_id}", expected, json=fields)

    def delete_vm(self, vm_id: int, expected: int = 202) -> Any:
        return self.call("DELETE", f"/virtual-machines/{vm_id}", expected)
