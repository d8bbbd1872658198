"""What single sign-on knows of OpenID Connect without its client, which is only loaded where a provider is named."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from parcela.core.errors import ErrorKind, ParcelaError, unauthenticated

log = structlog.get_logger(__name__)
Claims = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in between its start and the provider's answer; kept by the browser, sealed.

    Attributes:
        state: comes back with the answer.
        nonce: comes back in the ID token.
        verifier: proves that whoever swaps the code is whoever asked for it (PKCE).
        redirect_uri: our address of the answer.
        target: page of ours to go to afterwards.
    """

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    target: str


def new_flow(redirect_uri: str, target: str) -> Flow:
    """A flow with fresh random values."""
    return Flow(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), redirect_uri, target)


def unavailable(internal: str) -> ParcelaError:
    """The provider does not answer, or not as it should."""
    text = "The identity provider does not answer as it should; try again later, or sign in with a password."
    return ParcelaError(ErrorKind.UNAVAILABLE, "oidc_unavailable", text, internal=internal, retry_after_s=30)


def refused(internal: str) -> ParcelaError:
    """The answer proves nothing."""
    log.warning("oidc.refused", reason=internal)
    return unauthenticated("oidc_refused", "The answer of the identity provider could not be accepted; begin again.")


class Provider(Protocol):
    """We at one provider; see ``oidc.OidcClient``."""

    trouble: str

    async def aclose(self) -> None:
        """Close all connections."""

    async def start_url(self, flow: Flow) -> str:
        """Where to send the browser."""
        ...

    async def claims(self, flow: Flow, code: str) -> Claims:
        """Swap a code for what the provider says of the person."""
        ...

    async def metadata(self, *, fresh: bool = False) -> Mapping[str, Any]:
        """What the provider says of itself."""
        ...
