"""The identity provider's health.

Repairs: what we believe of the provider of single sign-on, which may have come back or gone since somebody last signed
in. It only starts the question, in the background.

Must not touch: accounts and sessions. Nobody is signed out because a provider is away.
"""

from parcela.services.identity.single_sign_on.single_sign_on import SingleSignOnService


class IdentityProvider:
    """Asks the provider how it is, every few minutes."""

    name = "identity_provider"

    def __init__(self, single_sign_on: SingleSignOnService) -> None:
        """Take the service."""
        self._single_sign_on = single_sign_on

    async def run(self) -> int:
        """Ask when it is time; 1 when it was."""
        return int(self._single_sign_on.probe())
