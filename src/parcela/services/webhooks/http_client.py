"""How deliveries go out: to a checked address, without redirects, within a time, without reading what comes back.

The name is resolved once, every address is judged, and the connection goes to the very address that was judged: a name
that answers differently the second time (DNS rebinding) has no second time. TLS still proves the name.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from parcela.core.errors import Problem, invalid
from parcela.core.networks import may_reach, may_reach_host, spelt_address
from parcela.core.settings import Settings

if TYPE_CHECKING:
    from httpx2 import AsyncClient

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
MAX_URL_CHARS = 2000
DEFAULT_PORTS = {"https": 443, "http": 80}
WHERE = "url"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. ``status`` is None when there was no answer; ``error`` is "" when it was good."""

    status: int | None
    error: str
    duration_ms: int

    @property
    def is_good(self) -> bool:
        """Whether the receiver took it."""
        return not self.error


async def resolve(host: str, port: int) -> Sequence[str]:
    """Addresses of a name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _bad_url(what: str, code: str = "webhook_url_invalid") -> Exception:
    return invalid(code, what, Problem(WHERE, what, code))


def check_url(url: str, settings: Settings) -> None:
    """Refuse what could never be delivered to: addresses in every spelling, and names of this machine or its network.

    Other names are judged by their addresses at every delivery, not here: what they resolve to can change.

    Raises:
        ParcelaError: ``invalid``, code ``webhook_url_invalid`` or ``webhook_address_refused``.
    """
    schemes = ("https", "http") if settings.webhook_plain_http else ("https",)
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as exc:
        raise _bad_url("This is no address of a web server.") from exc
    if not url.isascii() or not url.isprintable() or {" ", "\\"} & set(url) or len(url) > MAX_URL_CHARS:
        raise _bad_url(
            f"The address may have up to {MAX_URL_CHARS} printable ASCII characters, no spaces and no backslashes."
        )
    if parts.scheme not in schemes or not host or port == 0 or ("[" in parts.netloc and ":" not in host):
        raise _bad_url(
            f"The address must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a host."
        )
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _bad_url("The address may hold no username, password or fragment.")
    try:
        reachable = may_reach_host(host, settings.webhook_allowed_networks)
    except ValueError as exc:
        raise _bad_url(
            "The host is neither a name nor an IP address; names in other scripts are written with 'xn--'."
        ) from exc
    if not reachable:
        text = "Webhooks reach public addresses only; an administrator can allow others."
        raise _bad_url(text, "webhook_address_refused")


def trusted(settings: Settings) -> ssl.SSLContext | bool:
    """What receivers' certificates are checked with: the public authorities, and those of the administrator."""
    if settings.webhook_ca_file is None:
        return True
    from httpx2 import create_ssl_context

    context = create_ssl_context(trust_env=False)
    context.load_verify_locations(cafile=settings.webhook_ca_file)
    return context


class WebhookHttp:
    """Posts bodies. Close it after use."""

    def __init__(self, settings: Settings, resolver: Resolver = resolve) -> None:
        """``resolver`` gives the addresses of a name (tests have one of their own)."""
        self._settings = settings
        self._resolver = resolver
        self._http: AsyncClient | None = None
        if settings.webhook_ca_file is not None:
            self._client()  # an unusable file is told at the start

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()

    def _client(self) -> "AsyncClient":
        """The client, made for the first delivery: most installations never have one."""
        if self._http is None:
            from httpx2 import AsyncClient, Limits

            # Connections are not kept: one to the same address may have been opened for another name.
            self._http = AsyncClient(
                limits=Limits(max_keepalive_connections=0),
                timeout=self._settings.webhook_timeout_s,
                follow_redirects=False,
                trust_env=False,
                verify=trusted(self._settings),
            )
        return self._http

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """POST a body; never raises for what the other side does."""
        from httpx2 import HTTPError, InvalidURL, TimeoutException

        began = time.perf_counter()
        status: int | None = None
        try:
            async with asyncio.timeout(self._settings.webhook_timeout_s):
                status = await self._send(url, body, headers)
            error = "" if 200 <= status < 300 else f"answered {status}"
        except TimeoutError:
            error = f"no answer within {self._settings.webhook_timeout_s:g} s"
        except TimeoutException:
            error = f"no answer within {self._settings.webhook_timeout_s:g} s"
        except _RefusedError as exc:
            error = str(exc)
        except (HTTPError, InvalidURL, OSError, ValueError) as exc:
            error = _distrust(exc) or f"{type(exc).__name__}: {exc}"
        return Outcome(status, error[:255], round((time.perf_counter() - began) * 1000))

    async def _send(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        if parts.scheme == "http" and not self._settings.webhook_plain_http:
            raise _RefusedError("http:// is not allowed by the administrator")
        address = await self._address(host, port)
        literal = f"[{address}]" if ":" in address else address
        target = parts._replace(netloc=f"{literal}:{port}", fragment="").geturl()
        sent = {**headers, "Host": parts.netloc.rpartition("@")[2]}
        extensions = {"sni_hostname": host}
        # The body of the answer is never read: it could be endless, and nobody here may learn what it says.
        async with self._client().stream("POST", target, content=body, headers=sent, extensions=extensions) as answer:
            return answer.status_code

    async def _address(self, host: str, port: int) -> str:
        """The first address of a name that may be reached; an address in any spelling is judged without a resolver."""
        spelt = spelt_address(host)
        found = [str(spelt)] if spelt is not None else await self._resolver(host, port)
        allowed = self._settings.webhook_allowed_networks
        good = next((one for one in found if may_reach(one, allowed)), None)
        if good is None:
            raise _RefusedError("its address is not public, and the administrator has not allowed it")
        return good


def _distrust(error: BaseException | None) -> str:
    """What is wrong with the receiver's certificate; "" when the error is another one."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}"
        error = error.__cause__ or error.__context__
    return ""


class _RefusedError(Exception):
    """We do not want to reach it."""
