"""The HTTP client of the commands: tokens, refresh, retries, pages. It knows the API by HTTP alone."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import httpx2

from parcela.cli.client.credentials import DEFAULT_URL, CredentialFile, Login, normal_url
from parcela.cli.exits import CliError, Exit, fail, from_answer

API = "/api/v1"
PAUSES_S = (0.2, 0.5, 1.5)
"""Before the second, third and fourth attempt."""
MAX_RETRY_AFTER_S = 5.0
TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
AGAIN = frozenset({502, 503, 504})
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Which server, with which token.

    Attributes:
        url: address of the server, normalised.
        token: fixed token of ``PARCELA_TOKEN``; None to use the saved session.
    """

    url: str
    token: str | None = None


def find_place(url: str | None, environ: Mapping[str, str], saved: CredentialFile) -> Place:
    """The server: option, then ``PARCELA_URL``, then that of the last login, then this machine."""
    chosen = url or environ.get("PARCELA_URL") or saved.read().current or DEFAULT_URL
    return Place(normal_url(chosen), environ.get("PARCELA_TOKEN") or None)


class Api:
    """One server. Close it after use."""

    def __init__(
        self,
        place: Place,
        saved: CredentialFile,
        *,
        transport: httpx2.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connects on first use; ``pause`` waits between attempts (tests give one that does not)."""
        self.place = place
        self._saved = saved
        self._pause = pause
        self._login: Login | None = None
        headers = {"Accept": "application/json", "User-Agent": "parcela-cli"}
        self._http = httpx2.Client(base_url=place.url + API, headers=headers, timeout=TIMEOUT, transport=transport)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    # ---- requests

    def get(self, path: str, **params: Any) -> Any:
        """Decoded answer of a GET; parameters that are None are left out."""
        return _body(self.request("GET", path, params=params))

    def post(self, path: str, body: object = None, **params: Any) -> Any:
        """Decoded answer of a POST, None when it is empty."""
        return _body(self.request("POST", path, params=params, json=body))

    def create(self, path: str, body: object, **params: Any) -> Any:
        """POST with an ``Idempotency-Key``: a repeat after a broken connection creates nothing twice."""
        headers = {"Idempotency-Key": uuid4().hex}
        return _body(self.request("POST", path, params=params, json=body, headers=headers))

    def change(self, method: str, path: str, body: object = None, **params: Any) -> Any:
        """PUT, PATCH or DELETE; None when the answer is empty."""
        return _body(self.request(method, path, params=params, json=body))

    def pages(self, path: str, limit: int | None = None, **params: Any) -> list[Json]:
        """All items of a list, or the first ``limit``."""
        items: list[Json] = []
        cursor: str | None = None
        while True:
            size = 200 if limit is None else min(200, limit - len(items))
            page = self.get(path, limit=size, cursor=cursor, **params)
            if isinstance(page, list):
                text = "This token was made for the older API vm_api; take one without '--vm-api', or log in."
                raise fail(Exit.REFUSED, "token_speaks_vm_api", text)
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None or (limit is not None and len(items) >= limit):
                return items

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        content: Callable[[], Iterator[bytes]] | None = None,
        anonymous: bool = False,
        timeout: httpx2.Timeout = TIMEOUT,
    ) -> httpx2.Response:
        """Send one request, after a refresh of the token when it must be.

        Args:
            method: GET, POST ...
            path: below ``/api/v1``.
            params: query; None values are left out.
            headers: more headers.
            json: body.
            content: makes the body anew for each attempt; instead of ``json``.
            anonymous: send no token.
            timeout: of the transport.

        Raises:
            CliError: the server refused, or cannot be reached.
        """
        query = {name: value for name, value in (params or {}).items() if value is not None}
        used = None if anonymous else self._token()
        send = partial(self._http.request, method, path, params=query, json=json, timeout=timeout)

        def attempt() -> httpx2.Response:
            sent = {**(headers or {}), **({"Authorization": f"Bearer {used}"} if used else {})}
            return send(headers=sent, content=content() if content else None)

        safe = method == "GET" or "Idempotency-Key" in (headers or {})
        for pause_s in (*PAUSES_S, None):
            answer = self._sent(attempt, pause_s, safe=safe)
            if answer is None:
                continue
            if answer.is_success:
                return answer
            problem = from_answer(answer.status_code, _decoded(answer))
            if pause_s is not None and used and self._may_refresh(problem):
                used = self._refresh(used)
            elif pause_s is not None and safe and answer.status_code in AGAIN:
                self._pause(_retry_after_s(answer, pause_s))
            else:
                raise problem
        raise AssertionError("the last attempt returns or raises")

    def _sent(
        self, attempt: Callable[[], httpx2.Response], pause_s: float | None, *, safe: bool
    ) -> httpx2.Response | None:
        """One attempt; None after a broken connection when it makes sense to try again (``pause_s`` has passed)."""
        try:
            return attempt()
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            if pause_s is None or not (safe or unsent):
                raise self._unreachable(error) from error
            self._pause(pause_s)
            return None

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str], **params: Any) -> Iterator[httpx2.Response]:
        """An answer without end; the token is fresh when it begins.

        Raises:
            CliError: the server refused.
            httpx2.TransportError: the connection broke.
        """
        query = {name: value for name, value in params.items() if value is not None}
        used = self._token()
        for attempt in range(2):
            sent = {**headers, "Authorization": f"Bearer {used}"}
            timeout = httpx2.Timeout(None, connect=5.0)
            with self._http.stream("GET", path, params=query, headers=sent, timeout=timeout) as answer:
                if answer.is_success:
                    yield answer
                    return
                answer.read()
                problem = from_answer(answer.status_code, _decoded(answer))
            if attempt or not self._may_refresh(problem):
                raise problem
            used = self._refresh(used)

    # ---- tokens

    def log_in(self, email: str, password: str, code: str = "") -> Login:
        """Log in and save the session; ``code`` is that of a second factor."""
        body = {"email": email, "password": password} | ({"totp_code": code} if code else {})
        pair = _body(self.request("POST", "/login", json=body, anonymous=True))
        login = Login(email, pair["access_token"], pair["refresh_token"])
        self._saved.keep(self.place.url, login)
        self._login = login
        return login

    def _token(self) -> str:
        if self.place.token:
            return self.place.token
        if self._login is None:
            self._login = self._saved.read().servers.get(self.place.url)
        if self._login is None:
            text = f"You are not logged in to {self.place.url}: run 'parcela login --url {self.place.url}'."
            raise fail(Exit.NOT_LOGGED_IN, "not_logged_in", text)
        return self._login.access_token

    def _may_refresh(self, problem: CliError) -> bool:
        return self.place.token is None and problem.problem.get("code") == "token_expired"

    def _refresh(self, used: str) -> str:
        """New tokens; those that another command fetched meanwhile are taken over."""
        with self._saved.locked():
            login = self._saved.read().servers.get(self.place.url)
            if login is None:
                raise fail(Exit.NOT_LOGGED_IN, "not_logged_in", "You logged out meanwhile: run 'parcela login'.")
            if login.access_token == used:
                answer = self._refreshed(login.refresh_token)
                login = Login(login.email, answer["access_token"], answer["refresh_token"])
                self._saved.replace(self.place.url, login)
        self._login = login
        return login.access_token

    def _refreshed(self, refresh_token: str) -> Json:
        try:
            body = {"refresh_token": refresh_token}
            answer: Json = _body(self.request("POST", "/token/refresh", json=body, anonymous=True))
        except CliError as error:
            if error.code is Exit.NOT_LOGGED_IN:
                text = f"Your session on {self.place.url} has ended: run 'parcela login'."
                raise fail(Exit.NOT_LOGGED_IN, "session_ended", text) from error
            raise
        return answer

    def _unreachable(self, error: Exception) -> CliError:
        reason = str(error) or type(error).__name__
        text = f"The server at {self.place.url} cannot be reached ({reason}). Does it run? See PARCELA_URL and --url."
        return fail(Exit.UNAVAILABLE, "server_unreachable", text)


def _body(answer: httpx2.Response) -> Any:
    """The decoded body, None when it is empty."""
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as error:
        text = "The answer is no JSON; is there a Parcela at this address, or a proxy in between?"
        raise fail(Exit.UNAVAILABLE, "not_parcela", text) from error


def _decoded(answer: httpx2.Response) -> object:
    try:
        return answer.json()
    except ValueError:
        return None


def _retry_after_s(answer: httpx2.Response, default_s: float) -> float:
    given = answer.headers.get("Retry-After", "")
    return min(float(given), MAX_RETRY_AFTER_S) if given.isascii() and given.isdigit() else default_s
