"""The services of identity: they share the guard, the keys and each other, so they are put together here."""

from dataclasses import dataclass

from parcela.core.passwords import PasswordHasher
from parcela.core.sealing import SALT, Sealer, derived_key
from parcela.core.settings import Settings
from parcela.core.tokens import TokenSigner
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.identity.auth import AuthService
from parcela.services.identity.login_limits.attempts import KnownOrigins
from parcela.services.identity.login_limits.guard import LoginGuard
from parcela.services.identity.password_resets import PasswordResetService
from parcela.services.identity.prolonging import ProlongingService
from parcela.services.identity.registration import RegistrationService
from parcela.services.identity.roles import RoleService
from parcela.services.identity.second_factors import SecondFactorService
from parcela.services.identity.sessions import SessionService
from parcela.services.identity.single_sign_on.oidc_flow import Provider
from parcela.services.identity.single_sign_on.single_sign_on import SingleSignOnService
from parcela.services.identity.users import UserService
from parcela.services.mail.outbox import MailService
from parcela.services.mail.port import Mailer
from parcela.services.observability.refusals import Refusals


@dataclass(frozen=True)
class IdentityServices:
    """Who somebody is, and what they may do."""

    auth: AuthService
    sessions: SessionService
    prolonging: ProlongingService
    second_factors: SecondFactorService
    mail: MailService
    password_resets: PasswordResetService
    single_sign_on: SingleSignOnService
    users: UserService
    registration: RegistrationService
    roles: RoleService


def build_identity(
    uows: UnitOfWorkFactory,
    hasher: PasswordHasher,
    secret: str,
    settings: Settings,
    refusals: Refusals | None = None,
) -> IdentityServices:
    """Wire them; ``secret`` signs tokens, and the keys that encrypt are derived from it."""

    def sealer(purpose: str) -> Sealer:
        return Sealer(secret, purpose, uows.clock)

    origins = KnownOrigins(sealer("device"), derived_key(secret.encode(), SALT, b"known origins"), settings)
    guard = LoginGuard(uows, hasher, origins, settings, refusals)
    users = UserService(hasher, guard.policy)
    signer = TokenSigner(secret, uows.clock)
    sessions = SessionService(signer, settings)
    second_factors = SecondFactorService(guard, sealer("second factor"), users)
    mail = MailService(uows, _mailer(settings), sealer("mail"), settings)
    auth = AuthService(guard, sessions, second_factors, signer, sealer("login challenge"))
    return IdentityServices(
        auth=auth,
        sessions=sessions,
        prolonging=ProlongingService(guard, sessions),
        second_factors=second_factors,
        mail=mail,
        password_resets=PasswordResetService(guard, mail),
        single_sign_on=SingleSignOnService(
            guard, _provider(settings, uows), auth, users, sealer("single sign-on"), settings
        ),
        users=users,
        registration=RegistrationService(settings, users, guard, mail),
        roles=RoleService(),
    )


def _mailer(settings: Settings) -> Mailer | None:
    if not settings.smtp_host:
        return None
    # Most installations send no mails and ask no provider: their clients would only cost time and memory.
    from parcela.services.mail.smtp import SmtpMailer

    return SmtpMailer(settings)


def _provider(settings: Settings, uows: UnitOfWorkFactory) -> Provider | None:
    if not settings.oidc_issuer:
        return None
    from parcela.services.identity.single_sign_on.oidc import OidcClient

    return OidcClient(settings, uows.clock)
