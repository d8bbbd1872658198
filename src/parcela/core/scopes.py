"""Scopes of personal tokens. A scope is ``noun:verb``, a ceiling: a token never may more than its user.

A scope is a permission of the user's role (``vm:create``, ``host:write``), one of the verbs below for the user's own
things, or a wildcard: ``noun:*`` is everything the user may do with one kind of thing, ``*`` everything. One verb never
includes another one, but any scope of a noun lets the token look at the user's own things of that kind.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from parcela.core.permissions import ALL, Permission, grants, is_known


class Scope(StrEnum):
    """Verbs for one's own things (and those of projects one manages). They are no permissions: owners need none."""

    TEMPLATE_READ = "template:read"
    TEMPLATE_UPDATE = "template:update"
    TEMPLATE_SHARE = "template:share"
    TEMPLATE_DELETE = "template:delete"
    SLICE_READ = "slice:read"
    SLICE_DEPLOY = "slice:deploy"
    SLICE_POWER = "slice:power"
    SLICE_RESET = "slice:reset"
    SLICE_UPDATE = "slice:update"
    SLICE_DELETE = "slice:delete"
    VM_READ = "vm:read"
    VM_POWER = "vm:power"
    VM_RESET = "vm:reset"
    VM_CONSOLE = "vm:console"
    VM_UPDATE = "vm:update"
    VM_DELETE = "vm:delete"
    IMAGE_READ = "image:read"
    IMAGE_UPDATE = "image:update"
    IMAGE_DELETE = "image:delete"
    OPERATION_READ = "operation:read"
    OPERATION_CANCEL = "operation:cancel"
    OPERATION_RETRY = "operation:retry"
    EVENT_READ = "event:read"
    PROJECT_READ = "project:read"
    PROJECT_UPDATE = "project:update"
    PROJECT_MEMBERS = "project:members"
    PROJECT_JOIN = "project:join"
    PROJECT_LEAVE = "project:leave"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_UPDATE = "webhook:update"
    WEBHOOK_ROTATE = "webhook:rotate"
    WEBHOOK_RESEND = "webhook:resend"
    WEBHOOK_DELETE = "webhook:delete"
    USER_UPDATE = "user:update"


MEANINGS: Mapping[Scope, str] = MappingProxyType(
    {
        Scope.TEMPLATE_READ: "look at own templates and those of one's projects",
        Scope.TEMPLATE_UPDATE: "replace name, description and drawing",
        Scope.TEMPLATE_SHARE: "change visibility and project",
        Scope.TEMPLATE_DELETE: "remove a template",
        Scope.SLICE_READ: "look at own slices",
        Scope.SLICE_DEPLOY: "build a draft",
        Scope.SLICE_POWER: "start, stop, reboot, suspend, resume",
        Scope.SLICE_RESET: "give all VMs fresh disks",
        Scope.SLICE_UPDATE: "set a new end of life",
        Scope.SLICE_DELETE: "destroy a slice",
        Scope.VM_READ: "look at own VMs",
        Scope.VM_POWER: "start, stop, reboot, suspend, resume",
        Scope.VM_RESET: "give a VM a fresh disk",
        Scope.VM_CONSOLE: "open a console",
        Scope.VM_UPDATE: "change name, sizes and crash policy",
        Scope.VM_DELETE: "destroy a VM",
        Scope.IMAGE_READ: "be told of own images",
        Scope.IMAGE_UPDATE: "change what is said of an own private image, or of one of a project one manages",
        Scope.IMAGE_DELETE: "remove an own private image, or one of a project one manages",
        Scope.OPERATION_READ: "look at operations on own things",
        Scope.OPERATION_CANCEL: "ask an operation to stop",
        Scope.OPERATION_RETRY: "do it again; needs the scope of what is repeated, too",
        Scope.EVENT_READ: "be told of everything of one's own",
        Scope.PROJECT_READ: "look at one's projects",
        Scope.PROJECT_UPDATE: "change a project one manages",
        Scope.PROJECT_MEMBERS: "invite, change and remove members of a project one manages",
        Scope.PROJECT_JOIN: "accept and decline invitations into projects",
        Scope.PROJECT_LEAVE: "leave a project",
        Scope.WEBHOOK_READ: "look at own webhooks and their deliveries",
        Scope.WEBHOOK_UPDATE: "change a webhook",
        Scope.WEBHOOK_ROTATE: "give a webhook a new secret",
        Scope.WEBHOOK_RESEND: "repeat a delivery",
        Scope.WEBHOOK_DELETE: "remove a webhook",
        Scope.USER_UPDATE: "change one's own name and language",
    }
)
OWN_NOUNS = frozenset(scope.split(":", 1)[0] for scope in Scope)


def covers(scopes: Iterable[str], wanted: str) -> bool:
    """Whether scopes include a verb: by its name, by a wildcard, or because they are for all writing of its noun."""
    held = frozenset(scopes)
    noun = wanted.split(":", 1)[0]
    return grants(held, wanted) or not held.isdisjoint({f"{noun}:write", f"{noun}:write_all"})


def is_own(scope: str) -> bool:
    """Whether a scope is about the holder's own things, so that no permission is needed to give it to a token."""
    return scope in set(Scope)


def is_scope(text: str) -> bool:
    """Whether a token may hold this."""
    return is_own(text) or is_known(text) or (text.endswith(":*") and text[:-2] in OWN_NOUNS)


def all_scopes() -> tuple[str, ...]:
    """Every scope there is, without the wildcards, sorted."""
    return tuple(sorted({*Permission, *Scope} - {ALL}))
