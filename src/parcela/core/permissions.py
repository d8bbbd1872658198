"""Permissions and the built-in roles. A right is ``noun:verb``; ``noun:*`` and ``*`` are wildcards."""

from collections.abc import Iterable
from enum import StrEnum


class Permission(StrEnum):
    """Every right there is. Owners may do everything with their own things; these go beyond that or allow creating."""

    USER_READ = "user:read"
    USER_WRITE = "user:write"
    USER_RESET_FACTOR = "user:reset_factor"
    ROLE_READ = "role:read"
    ROLE_WRITE = "role:write"
    CATALOGUE_READ = "catalogue:read"
    CATALOGUE_WRITE = "catalogue:write"
    IMAGE_CREATE = "image:create"
    HOST_READ = "host:read"
    HOST_WRITE = "host:write"
    TEMPLATE_CREATE = "template:create"
    TEMPLATE_READ_ALL = "template:read_all"
    TEMPLATE_WRITE_ALL = "template:write_all"
    SLICE_CREATE = "slice:create"
    SLICE_READ_ALL = "slice:read_all"
    SLICE_WRITE_ALL = "slice:write_all"
    VM_CREATE = "vm:create"
    VM_READ_ALL = "vm:read_all"
    VM_WRITE_ALL = "vm:write_all"
    EVENT_READ_ALL = "event:read_all"
    OPERATION_READ_ALL = "operation:read_all"
    OPERATION_WRITE_ALL = "operation:write_all"
    SYSTEM_READ = "system:read"
    PROJECT_READ_ALL = "project:read_all"
    PROJECT_WRITE_ALL = "project:write_all"
    QUOTA_WRITE = "quota:write"
    MACHINE_READ = "machine:read"
    MACHINE_WRITE = "machine:write"
    MAINTENANCE_READ = "maintenance:read"
    MAINTENANCE_WRITE = "maintenance:write"
    AUDIT_READ = "audit:read"
    WEBHOOK_CREATE = "webhook:create"
    WEBHOOK_READ_ALL = "webhook:read_all"
    WEBHOOK_WRITE_ALL = "webhook:write_all"


class ProjectKind(StrEnum):
    """What a project is for people; the rules are the same."""

    CLASS = "class"
    TEAM = "team"


class ProjectRole(StrEnum):
    """What somebody may do in a project, each a superset of the one before."""

    VIEWER = "viewer"  # sees its templates
    MEMBER = "member"  # launches slices in it, and shares own templates with it
    MANAGER = "manager"  # sees and acts on everybody's slices in it, edits its templates, looks after its members


LAUNCHING = frozenset({ProjectRole.MEMBER, ProjectRole.MANAGER})

ALL = "*"
ADMIN_ROLE = "admin"
CLIENT_ROLE = "client"
CLIENT_PERMISSIONS = frozenset(
    {
        Permission.CATALOGUE_READ,
        Permission.IMAGE_CREATE,
        Permission.TEMPLATE_CREATE,
        Permission.SLICE_CREATE,
        Permission.VM_CREATE,
    }
)


def grants(held: Iterable[str], wanted: str) -> bool:
    """Whether a set of held rights (with wildcards) covers the wanted one."""
    noun = wanted.split(":", 1)[0]
    return any(right in {ALL, wanted, f"{noun}:*"} for right in held)


def is_known(right: str) -> bool:
    """Whether a right may be put into a role."""
    nouns = {p.value.split(":", 1)[0] for p in Permission}
    return right == ALL or right in set(Permission) or (right.endswith(":*") and right[:-2] in nouns)
