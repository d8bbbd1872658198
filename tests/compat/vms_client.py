"""The React pages of ``vms`` as their browser sends them: axios across origins, and two WebSockets.

Written from the wire of the original, and of nothing else. ``Pages`` runs at ``http://localhost:5173`` and calls an API
at another address, so its browser asks first (preflight) and shows the pages no answer that CORS does not allow. No
cookies are kept: axios runs without credentials. ``OwnPages`` are the same pages, served by the API's own origin, where
the browser needs no CORS and keeps cookies.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
from websockets.sync.client import ClientConnection, connect

TIMEOUT_S = 60
PAGES = "http://localhost:5173"
SAFE_METHODS = frozenset({"GET", "HEAD", "POST"})
SAFE_HEADERS = frozenset({"accept"})
MOST_REDIRECTS = 20


class NetworkError(Exception):
    """What axios throws when the browser does not show it the answer: there is no status."""


class RefusedError(Exception):
    """An answer that the page takes for a failure; ``shown`` is what it shows to a person."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
        self.status = answer.status_code
        self.body = answer.json()
        self.shown: str = self.body.get("message") or ""


class Browser:
    """Requests of a page: redirects, and the rules of CORS where the page is of another origin."""

    def __init__(self, page_origin: str) -> None:
        self.origin = page_origin
        self.jar = httpx2.Client(timeout=TIMEOUT_S)
        self.preflights: list[str] = []
        self.redirects: list[str] = []

    def close(self) -> None:
        self.jar.close()

    def fetch(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> httpx2.Response:
        """The answer as a page gets it.

        Raises:
            NetworkError: CORS does not allow it.
        """
        for _ in range(MOST_REDIRECTS):
            foreign = _origin(url) != self.origin
            if foreign:
                self._preflight(method, url, headers)
            sent = headers | ({"Origin": self.origin} if foreign or method != "GET" else {})
            if foreign:
                self.jar.cookies.clear()
            else:
                sent["Sec-Fetch-Site"] = "same-origin"
            answer = self.jar.request(method, url, headers=sent, content=body, follow_redirects=False)
            if foreign:
                self.jar.cookies.clear()
                self._check_allowed(answer)
            if answer.status_code not in {307, 308}:
                return answer
            target = urljoin(url, answer.headers["location"])
            self.redirects.append(f"{method} {urlsplit(target).path}")
            if _origin(target) != _origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = target
        raise NetworkError("too many redirects")

    def _preflight(self, method: str, url: str, headers: dict[str, str]) -> None:
        named = sorted({name.lower() for name in headers} - SAFE_HEADERS)
        if method in SAFE_METHODS and not named:
            return
        asked = {"Origin": self.origin, "Access-Control-Request-Method": method, "Accept": "*/*"}
        if named:
            asked["Access-Control-Request-Headers"] = ",".join(named)
        answer = httpx2.options(url, headers=asked, timeout=TIMEOUT_S, follow_redirects=False)
        self.preflights.append(f"{method} {urlsplit(url).path}")
        self._check_allowed(answer)
        if not 200 <= answer.status_code < 300:
            raise NetworkError(f"preflight of {method} {url}: {answer.status_code}")
        methods = _words(answer.headers.get("access-control-allow-methods", ""))
        allowed = _words(answer.headers.get("access-control-allow-headers", ""))
        # A star does not mean ``Authorization``.
        if method not in SAFE_METHODS and not methods & {method.lower(), "*"}:
            raise NetworkError(f"preflight: {method} is not allowed")
        if missing := [
            name for name in named if name not in allowed and ("*" not in allowed or name == "authorization")
        ]:
            raise NetworkError(f"preflight: {missing} are not allowed")

    def _check_allowed(self, answer: httpx2.Response) -> None:
        if answer.headers.get("access-control-allow-origin") not in {self.origin, "*"}:
            raise NetworkError(
                f"{answer.request.method} {answer.request.url}: {answer.status_code} without CORS headers"
            )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _words(header: str) -> set[str]:
    return {word.strip().lower() for word in header.split(",")} - {""}


class News:
    """One WebSocket; a page reads ``event`` and puts the whole row into its list."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """The row of the next message of this kind that has these fields; the others before it are passed over."""
        noun = event.partition("_")[0]
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=TIMEOUT_S))
            known = message["event"].partition("_")[0]
            row: dict[str, Any] = message[known]  # the page dies where it is missing
            assert isinstance(row["id"], int)
            if message["event"] == event and fields.items() <= row.items():
                assert known == noun
                return row


class Pages:
    """One person at the pages; methods are what a form or a list does, and return what the page shows."""

    def __init__(self, api: str, page_origin: str = PAGES) -> None:
        self.api = api  # the pages have it hard-wired
        self.browser = Browser(page_origin)
        self.token = ""  # localStorage

    def close(self) -> None:
        self.browser.close()

    def axios(self, method: str, path: str, data: Any = None) -> httpx2.Response:
        """What axios resolves to; any status outside of 200..299 is thrown."""
        headers = {"Accept": "application/json, text/plain, */*"}
        body = None
        if data is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        answer = self.browser.fetch(method, self.api + path, headers, body)
        if not 200 <= answer.status_code < 300:
            raise RefusedError(answer)
        return answer

    @property
    def rol(self) -> str:
        """The role in the payload of the token, by which the pages decide what they show."""
        payload = self.token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims.get("rol") or claims.get("role"))

    # ---- /login

    def login(self, email: str, password: str) -> None:
        self.token = ""
        self.token = self.axios("POST", "/login", {"email": email, "password": password}).json()["access_token"]

    # ---- /users

    def register(self, **form: Any) -> Any:
        """The form for strangers."""
        self.token = ""
        return self.axios("POST", "/users", form).json()

    def users(self) -> list[dict[str, Any]]:
        rows = self.axios("GET", "/users").json()
        assert isinstance(rows, list)
        assert all(row.keys() >= {"id", "name", "email"} and ("rol" in row or "role" in row) for row in rows)
        return rows

    def user(self, user_id: int) -> dict[str, Any]:
        row: dict[str, Any] = self.axios("GET", f"/users/{user_id}").json()
        assert row.keys() >= {"name", "email", "rol"}
        return row

    def create_user(self, **form: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.axios("POST", "/users", form).json()
        return made

    def update_user(self, user_id: int, password: str = "", **changes: Any) -> dict[str, Any]:
        """The form with what was read and what was changed; the password only when one was typed."""
        read = self.user(user_id)
        form = {name: read[name] for name in ("name", "email", "rol")} | changes
        answer = self.axios("PUT", f"/users/{user_id}", form | ({"password": password} if password else {}))
        assert answer.status_code == 200, "the page warns at anything else"
        changed: dict[str, Any] = answer.json()
        return changed

    def delete_user(self, user_id: int) -> None:
        self.axios("DELETE", f"/users/{user_id}")

    # ---- /vms

    def vms(self) -> list[dict[str, Any]]:
        rows = self.axios("GET", "/vms").json()
        assert isinstance(rows, list)
        assert all(row.keys() >= {"id", "name", "status", "created_at", "updated_at"} for row in rows)
        return rows

    def vm(self, vm_id: int) -> dict[str, Any]:
        row: dict[str, Any] = self.axios("GET", f"/vms/{vm_id}").json()
        assert row.keys() >= {"name", "cores", "ram", "disk", "os", "status"}
        return row

    def create_vm(self, **form: Any) -> dict[str, Any]:
        answer = self.axios("POST", "/vms", form)
        assert answer.status_code == 201, "the page warns at anything else"
        made: dict[str, Any] = answer.json()
        return made

    def update_vm(self, vm_id: int, **changes: Any) -> dict[str, Any]:
        """The form: all six fields as they were read, with what was changed."""
        read = self.vm(vm_id)
        form = {name: read[name] for name in ("name", "cores", "ram", "disk", "os", "status")} | changes
        answer = self.axios("PUT", f"/vms/{vm_id}", form)
        assert answer.status_code == 200, "the page warns at anything else"
        changed: dict[str, Any] = answer.json()
        return changed

    def delete_vm(self, vm_id: int) -> None:
        self.axios("DELETE", f"/vms/{vm_id}")

    # ---- /ws

    @contextmanager
    def listen(self, noun: str, **headers: str) -> Iterator[News]:
        """Open ``/ws/users`` or ``/ws/vms`` as the site does: without any token, with the cookies of this origin."""
        url = f"{self.api}/ws/{noun}"
        sent = {"Origin": self.browser.origin} | headers
        if cookies := self.browser.jar.build_request("GET", url).headers.get("cookie"):
            sent["Cookie"] = cookies
        with connect(url.replace("http://", "ws://"), additional_headers=sent, proxy=None) as socket:
            yield News(socket)


class OwnPages(Pages):
    """The same pages, served by the API's own origin."""

    def __init__(self, api: str) -> None:
        super().__init__(api, page_origin=api)
