"""Which events somebody is told of."""

from dataclasses import dataclass, replace

from parcela.core.permissions import Permission, ProjectRole
from parcela.repositories.events import EventRecord
from parcela.services.access import Caller

MEMBERSHIP = "project.member_"
"""Events of this kind change what somebody may see."""
ENDING = frozenset(
    {"user.updated", "user.deleted", "user.password_changed", "token.revoked", "auth.logged_out", "auth.token_reused"}
    | {"auth.session_ended", "auth.totp_reset"}
)
"""Events after which the tokens of their user may be worth nothing, or less."""
EVERYBODY = 0


def doubted(record: EventRecord) -> int | None:
    """Whose streams have to be judged again after this event: a user, ``EVERYBODY``, or None for nobody's."""
    if record.type == "role.updated":
        return EVERYBODY
    return int(record.data["user_id"]) if record.type in ENDING else None


def nouns_of(caller: Caller) -> frozenset[str] | None:
    """What a personal token is told of: things of its scopes. ``event:read`` is the scope for all of one's own."""
    if caller.scopes is None or "*" in caller.scopes or caller.reaches("event"):
        return None
    return frozenset(scope.split(":", 1)[0] for scope in caller.scopes)


def _project_of(record: EventRecord) -> int | None:
    """The project of a membership, also where its managers are not told of it."""
    if record.project_id is not None or not record.type.startswith(MEMBERSHIP):
        return record.project_id
    found = record.data.get("project_id")
    return int(found) if found is not None else None


def after(record: EventRecord, caller: Caller) -> Caller:
    """The caller once this event has happened: a stream outlives changes of its caller's role in a project."""
    project_id, facts = _project_of(record), record.data
    if project_id is None or not record.type.startswith(MEMBERSHIP) or facts.get("user_id") != caller.user_id:
        return caller
    projects = {key: role for key, role in caller.projects.items() if key != project_id}
    if record.type != "project.member_removed":
        projects[project_id] = ProjectRole(facts["role"])
    return replace(caller, projects=projects)


@dataclass(frozen=True, slots=True)
class View:
    """What one client may see and asked for. Clients with equal views are decided about together.

    Attributes:
        user_id: who; 0 for those who see everything, so that all of them are equal.
        everything: sees all events, also those without an owner.
        managed: projects whose events the user sees too.
        nouns: only types that begin with one of these words; None for all.
        slice_id: only events of this slice; None for all.
        types: only these types; None for all.
    """

    user_id: int
    everything: bool
    managed: frozenset[int]
    nouns: frozenset[str] | None
    slice_id: int | None
    types: frozenset[str] | None

    @classmethod
    def of(cls, caller: Caller, slice_id: int | None, types: frozenset[str] | None) -> "View":
        """The view of a caller as of now."""
        if caller.can(Permission.EVENT_READ_ALL):
            return cls(0, True, frozenset(), None, slice_id, types)
        return cls(caller.user_id, False, caller.managed, nouns_of(caller), slice_id, types)

    def sees(self, record: EventRecord) -> bool:
        """Whether the client is told of an event."""
        if self.slice_id is not None and record.slice_id != self.slice_id:
            return False
        if self.types is not None and record.type not in self.types:
            return False
        if self.everything:
            return True
        if record.owner_id != self.user_id and record.project_id not in self.managed:
            return False
        return self.nouns is None or record.type.split(".", 1)[0] in self.nouns

    def after(self, record: EventRecord) -> "View":
        """The view once this event has happened: a stream outlives changes of its user's role in a project."""
        project_id = _project_of(record)
        if project_id is None or self.everything or not record.type.startswith(MEMBERSHIP):
            return self
        if record.data.get("user_id") != self.user_id:
            return self
        manages = record.type != "project.member_removed" and ProjectRole(record.data["role"]) is ProjectRole.MANAGER
        return replace(self, managed=self.managed | {project_id} if manages else self.managed - {project_id})


MEMBERSHIPS = View(0, True, frozenset(), None, None, frozenset({f"{MEMBERSHIP}changed", f"{MEMBERSHIP}removed"}))
"""All changes by which somebody may do less in a project."""
