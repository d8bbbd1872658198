"""A client of ``vms`` as one was written at its time: JSON over HTTP and two WebSockets, nothing of the server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from websockets.sync.client import ClientConnection, connect

TIMEOUT_S = 60


class News:
    """One WebSocket; its messages until a wanted one."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.numbers: list[int] = []

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next message of this kind whose thing has these fields; the others before it are passed over."""
        noun = event.partition("_")[0]
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=TIMEOUT_S))
            self.numbers.append(message["seq"])
            if message["event"] == event and fields.items() <= message[noun].items():
                return message


class VmsClient:
    """One user of the API."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_S)
        self._token = ""

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, expected: int, **options: Any) -> Any:
        """One request; the JSON of the answer, which must have the expected status."""
        answer = self._http.request(method, path, **options)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        if expected == 204:
            assert answer.content == b""
            return None
        body = answer.json()
        if expected >= 400:
            assert body["code"], body
            assert body["message"], body
            assert "field" in body
        return body

    def login(self, email: str, password: str, expected: int = 200) -> Any:
        body = self.call("POST", "/login", expected, json={"email": email, "password": password})
        if expected == 200:
            self._token = body["token"]
            self._http.headers["Authorization"] = f"Bearer {self._token}"
        return body

    # ---- /users/

    def users(self, expected: int = 200) -> Any:
        return self.call("GET", "/users/", expected)

    def user(self, user_id: int, expected: int = 200) -> Any:
        return self.call("GET", f"/users/{user_id}", expected)

    def create_user(self, expected: int = 201, **fields: Any) -> Any:
        return self.call("POST", "/users/", expected, json=fields)

    def update_user(self, user_id: int, expected: int = 200, **fields: Any) -> Any:
        return self.call("PUT", f"/users/{user_id}", expected, json=fields)

    def delete_user(self, user_id: int, expected: int = 204) -> Any:
        return self.call("DELETE", f"/users/{user_id}", expected)

    # ---- /vms/

    def vms(self) -> Any:
        return self.call("GET", "/vms/", 200)

    def vm(self, vm_id: int, expected: int = 200) -> Any:
        return self.call("GET", f"/vms/{vm_id}", expected)

    def create_vm(self, expected: int = 201, **fields: Any) -> Any:
        return self.call("POST", "/vms/", expected, json=fields)

    def update_vm(self, vm_id: int, expected: int = 200, **fields: Any) -> Any:
        return self.call("PUT", f"/vms/{vm_id}", expected, json=fields)

    def delete_vm(self, vm_id: int, expected: int = 204) -> Any:
        return self.call("DELETE", f"/vms/{vm_id}", expected)

    # ---- /ws/

    @contextmanager
    def listen(self, noun: str, since: int | None = None) -> Iterator[News]:
        """Open ``/ws/users`` or ``/ws/vms``."""
        address = self._url.replace("http://", "ws://") + f"/ws/{noun}" + (f"?since={since}" if since else "")
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        with connect(address, additional_headers=headers, proxy=None) as socket:
            yield News(socket)
