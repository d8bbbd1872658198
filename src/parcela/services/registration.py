"""Registration: how the older APIs make accounts, by somebody who may, or by anybody for themselves."""

from parcela.core.errors import forbidden
from parcela.core.permissions import CLIENT_ROLE, Permission
from parcela.core.settings import Settings
from parcela.repositories.uow import UnitOfWork
from parcela.repositories.users import UserRecord
from parcela.services.access import SYSTEM, Caller
from parcela.services.users import NewUser, UserService


class RegistrationService:
    """Rules of registration; passwords are hashed by the caller, after ``check``."""

    def __init__(self, settings: Settings, users: UserService) -> None:
        """Take the collaborators."""
        self._settings = settings
        self._users = users

    def check(self, caller: Caller | None, role: str) -> None:
        """Raise what ``register`` would, before anything expensive is done.

        Raises:
            ParcelaError: ``forbidden`` with code ``registration_closed``, or ``registration_role`` when somebody wants
                more than the role ``client`` for themselves.
        """
        if caller is not None and caller.can(Permission.USER_WRITE):
            return
        if not self._settings.registration_open:
            text = "Nobody can register here; ask an administrator for an account."
            raise forbidden("registration_closed", text)
        if role != CLIENT_ROLE:
            text = f"Whoever registers gets the role '{CLIENT_ROLE}'; others are given by an administrator."
            raise forbidden("registration_role", text)

    async def register(self, uow: UnitOfWork, caller: Caller | None, new: NewUser) -> UserRecord:
        """Make the account: in the caller's name with ``user:write``, else as an ordinary client."""
        self.check(caller, new.role)
        maker = caller if caller is not None and caller.can(Permission.USER_WRITE) else SYSTEM
        return await self._users.create(uow, maker, new)
