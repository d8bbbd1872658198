"""Who is asking, and what they may do. Strangers get ``not_found``, never ``forbidden``: ids must not leak."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from parcela.core.errors import forbidden, not_found
from parcela.core.permissions import Permission, ProjectRole, grants


def _no_projects() -> Mapping[int, ProjectRole]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user behind one request.

    Attributes:
        user_id: row of the user.
        username: for logs and metadata.
        role: name of the role.
        permissions: rights of the role.
        is_superuser: bypasses rights (not token scopes).
        scopes: rights a personal token is limited to; None for a session (no limit).
        token_id: row of the token used; 0 for internal callers.
        locale: ``en`` or ``es``.
        projects: role by project the user is in.
    """

    user_id: int
    username: str
    role: str
    permissions: frozenset[str]
    is_superuser: bool = False
    scopes: frozenset[str] | None = None
    token_id: int = 0
    locale: str = "en"
    token_family: str = field(default="", compare=False)
    projects: Mapping[int, ProjectRole] = field(default_factory=_no_projects, compare=False)

    @property
    def managed(self) -> frozenset[int]:
        """Projects whose slices the user sees and acts on, whoever owns them."""
        return frozenset(key for key, role in self.projects.items() if role is ProjectRole.MANAGER)

    def manages(self, project_id: int | None) -> bool:
        """Whether the user is a manager of a thing's project."""
        return project_id is not None and self.projects.get(project_id) is ProjectRole.MANAGER

    def can(self, permission: Permission) -> bool:
        """Whether the caller holds a right: by role or as superuser, and within the token's scopes."""
        held = self.is_superuser or grants(self.permissions, permission)
        return held and (self.scopes is None or grants(self.scopes, permission))

    def require(self, permission: Permission) -> None:
        """Raise ``forbidden`` when the right is missing, naming it."""
        if not self.can(permission):
            raise forbidden("permission_missing", f"This needs the permission '{permission.value}'.")

    def in_scope(self, noun: str, *, write: bool) -> bool:
        """Whether a scoped token reaches the owner's own things of this kind (``slice``, ``vm``, ``template`` ...).

        Any scope of the noun allows reading; writing needs one that is more than reading.
        """
        if self.scopes is None or "*" in self.scopes:
            return True
        mine = {scope for scope in self.scopes if scope.split(":", 1)[0] == noun}
        return bool(mine - {f"{noun}:read", f"{noun}:read_all"}) if write else bool(mine)

    def sees(self, owner_id: int | None, read_all: Permission, project_id: int | None = None) -> bool:
        """Whether the caller may see a thing of this owner, in this project."""
        noun = read_all.value.split(":", 1)[0]
        mine = owner_id == self.user_id or self.manages(project_id)
        return (mine and self.in_scope(noun, write=False)) or self.can(read_all)

    def list_filter(self, read_all: Permission) -> int | None:
        """Owner to filter lists by: None when the caller sees everybody's.

        Raises ``forbidden`` when a scoped token reaches nothing of this kind.
        """
        if self.can(read_all):
            return None
        noun = read_all.value.split(":", 1)[0]
        if not self.in_scope(noun, write=False):
            raise forbidden("scope_missing", f"This token has no scope for '{noun}'.")
        return self.user_id


def check_visible(
    caller: Caller,
    owner_id: int | None,
    read_all: Permission,
    what: str,
    ident: object,
    *,
    project_id: int | None = None,
) -> None:
    """Raise ``not_found`` when the caller may not even see it."""
    if not caller.sees(owner_id, read_all, project_id):
        raise not_found(what, ident)


def check_writable(
    caller: Caller,
    owner_id: int | None,
    read_all: Permission,
    write_all: Permission,
    what: str,
    ident: object,
    *,
    project_id: int | None = None,
) -> None:
    """Raise ``not_found`` to strangers and ``forbidden`` to those who may only look."""
    noun = write_all.value.split(":", 1)[0]
    mine = owner_id == caller.user_id or caller.manages(project_id)
    if (mine and caller.in_scope(noun, write=True)) or caller.can(write_all):
        return
    check_visible(caller, owner_id, read_all, what, ident, project_id=project_id)
    raise forbidden("not_yours", f"You may look at this {what} but not change it.")


SYSTEM = Caller(user_id=0, username="parcela", role="system", permissions=frozenset({"*"}), is_superuser=True)
"""Parcela itself: reconcilers act in its name."""
