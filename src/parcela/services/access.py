"""Who is asking, and what they may do. Strangers get ``not_found``, never ``forbidden``: ids must not leak."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from parcela.core.errors import ParcelaError, forbidden, not_found
from parcela.core.permissions import Permission, ProjectRole, grants
from parcela.core.scopes import Scope, covers


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
        speaks_vm_api: the program is a client of the older API ``vm_api``. It decides shapes and units on the addresses
            that this API shares with ours, and never rights.
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
    speaks_vm_api: bool = field(default=False, compare=False)

    @property
    def managed(self) -> frozenset[int]:
        """Projects whose slices the user sees and acts on, whoever owns them."""
        return frozenset(key for key, role in self.projects.items() if role is ProjectRole.MANAGER)

    def manages(self, project_id: int | None) -> bool:
        """Whether the user is a manager of a thing's project."""
        return project_id is not None and self.projects.get(project_id) is ProjectRole.MANAGER

    def holds(self, permission: Permission) -> bool:
        """Whether the user has a right by role or as superuser, whatever the scopes of the token say."""
        return self.is_superuser or grants(self.permissions, permission)

    def can(self, permission: Permission) -> bool:
        """Whether the caller holds a right: by role or as superuser, and within the token's scopes."""
        return self.holds(permission) and (self.scopes is None or grants(self.scopes, permission))

    def require(self, permission: Permission) -> None:
        """Raise ``forbidden`` when the right is missing, naming it."""
        if not self.can(permission):
            raise forbidden("permission_missing", f"This needs the permission '{permission.value}'.")

    def reaches(self, noun: str) -> bool:
        """Whether a token may look at its user's own things of a kind (``slice``, ``vm`` ...): any scope of it does."""
        if self.scopes is None or "*" in self.scopes:
            return True
        return any(scope.split(":", 1)[0] == noun for scope in self.scopes)

    def require_reach(self, noun: str) -> None:
        """Raise ``forbidden`` when a scoped token reaches nothing of this kind."""
        if not self.reaches(noun):
            raise forbidden("scope_missing", f"This token has no scope for '{noun}'.")

    def in_scope(self, scope: Scope) -> bool:
        """Whether the scopes of a token let it do this with its user's own things; a session is not limited."""
        return self.scopes is None or covers(self.scopes, scope)

    def require_scope(self, scope: Scope) -> None:
        """Raise ``forbidden`` when the token lacks a scope, naming it."""
        if not self.in_scope(scope):
            raise scope_missing(scope)

    def sees(self, owner_id: int | None, read_all: Permission, project_id: int | None = None) -> bool:
        """Whether the caller may see a thing of this owner, in this project."""
        noun = read_all.value.split(":", 1)[0]
        mine = owner_id == self.user_id or self.manages(project_id)
        return (mine and self.reaches(noun)) or self.can(read_all)

    def list_filter(self, read_all: Permission) -> int | None:
        """Owner to filter lists by: None when the caller sees everybody's.

        Raises ``forbidden`` when a scoped token reaches nothing of this kind.
        """
        if self.can(read_all):
            return None
        noun = read_all.value.split(":", 1)[0]
        self.require_reach(noun)
        return self.user_id


def scope_missing(scope: str) -> ParcelaError:
    """The refusal of a token whose user may do this, but which was not made for it."""
    return forbidden("scope_missing", f"This token needs the scope '{scope}' for this.")


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
    scope: Scope,
    project_id: int | None = None,
) -> None:
    """Raise ``not_found`` to strangers, and ``forbidden`` to those who may only look and tokens without the scope."""
    mine = owner_id == caller.user_id or caller.manages(project_id)
    if (mine and caller.in_scope(scope)) or caller.can(write_all):
        return
    check_visible(caller, owner_id, read_all, what, ident, project_id=project_id)
    if mine or caller.holds(write_all):
        raise scope_missing(scope if mine else write_all)
    raise forbidden("not_yours", f"You may look at this {what} but not change it.")


SYSTEM = Caller(user_id=0, username="parcela", role="system", permissions=frozenset({"*"}), is_superuser=True)
"""Parcela itself: reconcilers act in its name."""
