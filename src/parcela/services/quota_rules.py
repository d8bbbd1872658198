"""The one answer to something that would go beyond a quota which is counted when it is asked for."""

from parcela.core.errors import ErrorKind, ParcelaError, Problem
from parcela.core.permissions import Permission
from parcela.services.access import Caller


def ceiling(caller: Caller, most: int) -> int:
    """What a setting allows this caller: who may set quotas has none."""
    return 0 if caller.can(Permission.QUOTA_WRITE) else most


def require_room(where: str, what: str, *, used: int, more: int, most: int) -> None:
    """Refuse what would be too much.

    Args:
        where: resource as clients know it, e.g. ``templates``.
        what: the same for people, e.g. ``templates`` or ``bytes of images``.
        used: so much there is.
        more: so much is asked for.
        most: so much is allowed; 0 for any amount.

    Raises:
        ParcelaError: kind ``no_capacity``, code ``quota_exceeded``.
    """
    if most and used + more > most:
        raise beyond_quota(where, what, used=used, more=more, most=most)


def beyond_quota(where: str, what: str, *, used: int, more: int, most: int, whose: str = "your quota") -> ParcelaError:
    """The refusal itself; ``whose`` is as people read it, the rest as in ``require_room``."""
    text = f"At most {most} {what}: {used} in use, {more} more asked for."
    problem = Problem(f"quota.{where}", text, "quota_exceeded")
    sentence = f"This goes beyond {whose}. {text}"
    return ParcelaError(ErrorKind.NO_CAPACITY, "quota_exceeded", sentence, problems=[problem])
