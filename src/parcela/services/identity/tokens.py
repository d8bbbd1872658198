"""Personal tokens: what one is asked to be, and what its holder is told once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from parcela.core.errors import Problem, invalid
from parcela.core.scopes import is_own
from parcela.services.access import Caller
from parcela.services.identity.roles import check_scopes, check_within_rights


@dataclass(frozen=True, slots=True)
class NewPersonalToken:
    """A personal token at the one moment in which its secret is known."""

    id: int
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    speaks_vm_api: bool
    token: str


def check_wished(caller: Caller, scopes: Sequence[str], expires_at: datetime | None, now: datetime) -> None:
    """Raise for a token that its maker may not make, or that would be of no use.

    A scope is a ceiling. Wildcards (``*``, ``vm:*``) mean "what I may do" and follow the user's rights; a right that is
    named must be held now. The verbs of ``core.scopes`` are no rights: they are about own things.
    """
    named = [scope for scope in scopes if not is_own(scope)]
    check_scopes(scopes, "scopes")
    check_within_rights(caller, [scope for scope in named if not scope.endswith("*")], "The token")
    if not scopes or (expires_at is not None and expires_at <= now):
        where = "expires_at" if scopes else "scopes"
        text = "The end of a token lies in the future." if scopes else "A token has at least one scope."
        raise invalid("token_useless", text, Problem(where, text, "token_useless"))
