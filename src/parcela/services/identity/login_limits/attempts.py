"""Attempts to sign in: by whom, from where, and which counters judge them.

Everybody on the Internet can fail to sign in as an administrator. So failures of strangers must not keep out people at
a device or address from which they have signed in before: those have counters of their own.

============  ====================================================  ============================================
lane          who                                                   judged by
============  ====================================================  ============================================
device        a browser with a device cookie of this account        the device alone
known         an address from which the account has signed in       account at this address; those of the address
stranger      everybody else                                        account at this address; all strangers at the
                                                                    account; address, /56 and /48
============  ====================================================  ============================================

One account has one counter per lane, whatever name is typed. Unknown accounts have counters too, which behave the same.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from parcela.core.passwords import Lane
from parcela.core.sealing import Sealer
from parcela.core.settings import Settings
from parcela.core.tokens import session_id_of
from parcela.models import User
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.identity.login_limits.throttles import ADDRESS, address_key, address_keys, clean_identifier
from parcela.services.identity.sessions import Origin

DEVICES_PER_BROWSER = 8
"""Accounts that one browser is known for: the computers of a lab are shared."""
MAX_BOX_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, and the counters that judge it.

    Attributes:
        user: the account; None when there is none.
        account: its name in counters.
        place: that of the address, or of its /64.
        keys: counters of wrong passwords.
        factor_keys: counters of wrong codes.
        reset_keys: budgets of mails with links.
        lane: of hashing.
        address: of the client.
    """

    user: User | None
    account: str
    place: str
    keys: tuple[str, ...]
    factor_keys: tuple[str, ...]
    reset_keys: tuple[str, ...]
    lane: Lane
    address: str

    @property
    def cleared(self) -> list[str]:
        """Counters of the account that a success ends; those of addresses go on."""
        return [key for key in (*self.keys, *self.factor_keys) if ADDRESS not in key]


class KnownOrigins:
    """Devices and addresses from which accounts have signed in.

    Devices are sealed cookies and no rows: the number in one names its counter, and they end with the account's
    ``credential_version``. Addresses are rows with a keyed hash, at most so many per account.
    """

    def __init__(self, sealer: Sealer, key: bytes, settings: Settings) -> None:
        """``sealer`` makes device cookies; ``key`` hashes names and addresses."""
        self._sealer = sealer
        self._key = key
        self._settings = settings

    @property
    def kept_for(self) -> timedelta:
        """How long a device or address is known after its last use."""
        return timedelta(days=self._settings.known_device_days)

    async def attempt(self, uow: ReadUnitOfWork, user: User | None, identifier: str, origin: Origin) -> Attempt:
        """The attempt of somebody who typed an identifier. Asks the same of the database for unknown accounts."""
        account = str(user.id) if user is not None else "#" + self._hash(clean_identifier(identifier) or identifier)
        user_id = user.id if user is not None else 0
        place = address_key(origin.address).removeprefix(ADDRESS)
        is_known = await uow.known_addresses.is_known(user_id, self._place_hash(user_id, place))
        device = self._device(user, origin.device)
        if device:
            keys, factors, resets = (
                [f"device:{device}"],
                [f"factor-device:{device}"],
                [f"reset-known:{account}:{place}"],
            )
        elif is_known:
            keys = [f"known:{account}:{place}", f"known-{ADDRESS}{place}"]
            factors, resets = [f"factor-known:{account}:{place}"], [f"reset-known:{account}:{place}"]
        else:
            around = address_keys(origin.address)
            keys = [f"login:{account}:{place}", f"login-all:{account}", *around]
            factors = [f"factor:{account}", *around]
            resets = [f"reset:{account}:{place}", f"reset-all:{account}"]
        lane = Lane.KNOWN if device or is_known else Lane.STRANGERS
        return Attempt(user, account, place, tuple(keys), tuple(factors), tuple(resets), lane, origin.address)

    async def remember(self, uow: UnitOfWork, user: User, origin: Origin) -> str:
        """Note a success: the address is known from now on. The user's row must be locked.

        Returns:
            The new value of the browser's device cookie.
        """
        if origin.address:
            place = address_key(origin.address).removeprefix(ADDRESS)
            most = self._settings.known_addresses_per_account
            await uow.known_addresses.remember(user.id, self._place_hash(user.id, place), most)
        others = [one for one in self._devices(origin.device) if one[0] != user.id]
        mine = [user.id, self._device(user, origin.device) or secrets.token_hex(8), user.credential_version]
        kept = [*others, mine][-DEVICES_PER_BROWSER:]
        return self._sealer.seal(kept, int(self.kept_for.total_seconds()))

    def _device(self, user: User | None, box: str) -> str:
        """The number of the browser as a device of this account; "" for none."""
        for user_id, device, version in self._devices(box):
            if user is not None and (user_id, version) == (user.id, user.credential_version):
                return str(device)
        return ""

    def _devices(self, box: str) -> Sequence[list[int | str]]:
        opened = self._sealer.open(box) if box and len(box) <= MAX_BOX_CHARS else None
        return opened if isinstance(opened, list) else []

    def _place_hash(self, user_id: int, place: str) -> str:
        return self._hash(f"{user_id} {place}")

    def _hash(self, text: str) -> str:
        return hmac.new(self._key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def own_key(kind: str, caller: Caller) -> str:
    """Counter of what is asked of somebody who is signed in: of their session, so that nobody else can use it up."""
    return f"{kind}:{caller.user_id}:{session_id_of(caller.token_family)}"
