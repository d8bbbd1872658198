"""A client of the original ``vm_api``, written after its own back end and README: it knows nothing of Parcela.

Login by a form with ``email``, arrays in windows of ``skip`` and ``limit``, memory in GB, 200 for everything that went
well with the thing as the body, errors with a text in ``detail``. The fields it reads of an answer are all there were.
"""

from collections.abc import Mapping
from typing import Any

import httpx2

TIMEOUT_S = 60
USER_FIELDS = frozenset({"id", "email", "username", "is_active", "is_superuser", "created_at", "updated_at"})
VM_FIELDS = frozenset({"id", "owner_id", "name", "cores", "ram", "disk", "os", "status", "created_at", "updated_at"})


class RefusedError(Exception):
    """An answer that is none of the good ones; ``detail`` is what the script prints."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class VmApiClient:
    """One user of the API: a script with ``Authorization: Bearer`` and without cookies."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = ""

    def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        # No jar: each request stands alone, as with ``requests.get``; redirects are followed as there.
        return httpx2.request(
            method, self._url + path, headers=headers, timeout=TIMEOUT_S, follow_redirects=True, **options
        )

    def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = self._ask(method, path, **options)
        body = answer.json()
        if answer.status_code != 200:
            assert isinstance(body["detail"], str), body
            raise RefusedError(answer.status_code, body["detail"])
        return body

    def start(self) -> Any:
        """``GET /``."""
        return self._json("GET", "/")

    def login(self, email: str, password: str) -> str:
        """The token, which is sent from now on."""
        answer = self._ask("POST", "/api/v1/login", data={"email": email, "password": password})
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            raise RefusedError(401, answer.json()["detail"])
        body = answer.json()
        assert (answer.status_code, body["token_type"]) == (200, "bearer"), body
        self._token = body["access_token"]
        return self._token

    def use(self, token: str) -> None:
        """Send a token from now on that came from somewhere else."""
        self._token = token

    def register(self, **fields: Any) -> Mapping[str, Any]:
        """``POST /api/v1/users/``: with a token that of an administrator, without one for oneself."""
        return _user(self._json("POST", "/api/v1/users/", json=fields))

    def me(self) -> Mapping[str, Any]:
        return _user(self._json("GET", "/api/v1/users/me"))

    def users(self, **window: int) -> list[Mapping[str, Any]]:
        return [_user(row) for row in _array(self._json("GET", "/api/v1/users/", params=window))]

    def vms(self, **window: int) -> list[Mapping[str, Any]]:
        return [_vm(row) for row in _array(self._json("GET", "/api/v1/virtual-machines/", params=window))]

    def create_vm(self, **fields: Any) -> Mapping[str, Any]:
        return _vm(self._json("POST", "/api/v1/virtual-machines/", json=fields))

    def vm(self, vm_id: int) -> Mapping[str, Any]:
        return _vm(self._json("GET", f"/api/v1/virtual-machines/{vm_id}"))

    def update_vm(self, vm_id: int, **fields: Any) -> Mapping[str, Any]:
        return _vm(self._json("PUT", f"/api/v1/virtual-machines/{vm_id}", json=fields))

    def delete_vm(self, vm_id: int) -> Mapping[str, Any]:
        return _vm(self._json("DELETE", f"/api/v1/virtual-machines/{vm_id}"))


def _array(body: Any) -> list[Any]:
    assert isinstance(body, list), body
    return body


def _user(body: Any) -> Mapping[str, Any]:
    assert set(body) == USER_FIELDS, body
    return dict(body)


def _vm(body: Any) -> Mapping[str, Any]:
    assert set(body) == VM_FIELDS, body
    return dict(body)
