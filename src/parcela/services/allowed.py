"""What a caller may do with a thing now: the one answer that services enforce and that API, pages and CLI show.

A rule has two halves: the *right* (owner, project, role, token scopes) and the *state* of the thing and of what works
on it. ``Allowed.check`` raises the error that the API answers with; ``Allowed.of`` lists the actions for which it
raises none. What only the request itself can show (no room on the hosts, a quota, a bad value) is not judged here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from parcela.core.errors import ParcelaError, conflict, forbidden, not_found
from parcela.core.permissions import Permission
from parcela.core.scopes import Scope
from parcela.services.access import Caller, check_visible, check_writable, scope_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What rights depend on.

    Attributes:
        id: row.
        owner_id: user it belongs to; None for nobody.
        project_id: project it is in; its managers act as the owner.
    """

    noun: ClassVar[str]
    read_all: ClassVar[Permission]
    write_all: ClassVar[Permission]

    id: int
    owner_id: int | None
    project_id: int | None = None

    def check_visible(self, caller: Caller) -> None:
        """Raise ``not_found`` when the caller may not even look."""
        check_visible(caller, self.owner_id, self.read_all, self.noun, self.id, project_id=self.project_id)

    def check_writable(self, caller: Caller, scope: Scope) -> None:
        """Raise ``not_found`` to strangers, ``forbidden`` to those who may only look and tokens without the scope."""
        project_id = self.project_id
        check_writable(
            caller, self.owner_id, self.read_all, self.write_all, self.noun, self.id, scope=scope, project_id=project_id
        )


Right = Callable[[Caller, Any], None]
State = Callable[[Caller, Any], None]


def _always(_caller: Caller, _thing: Thing) -> None:
    """No state forbids it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When an action is possible; both halves raise the error that the caller gets when it is not."""

    right: Right
    state: State = _always


def writing(scope: Scope, state: State = _always) -> Rule:
    """The rule of an action for owners, managers of the project and holders of ``noun:write_all``."""

    def right(caller: Caller, thing: Thing) -> None:
        thing.check_writable(caller, scope)

    return Rule(right, state)


Rules = Mapping[str, Rule]


class Allowed:
    """The rules of all kinds of things, by kind and action."""

    def __init__(self, rules: Mapping[type[Thing], Rules]) -> None:
        """Take the table."""
        self._rules = rules

    def actions(self, kind: type[Thing]) -> tuple[str, ...]:
        """Every action there is for a kind of thing."""
        return tuple(self._rules[kind])

    def check_right(self, caller: Caller, thing: Thing, action: str) -> None:
        """Raise what the caller gets whatever the state is: ask before the row is locked, so strangers lock nothing."""
        self._rules[type(thing)][action].right(caller, thing)

    def check(self, caller: Caller, thing: Thing, action: str) -> None:
        """Raise ``not_found``, ``forbidden`` or ``conflict`` when the caller may not do this now."""
        rule = self._rules[type(thing)][action]
        rule.right(caller, thing)
        rule.state(caller, thing)

    def of(self, caller: Caller, thing: Thing) -> tuple[str, ...]:
        """The actions that the caller may take now, in the order of the table."""
        return tuple(action for action in self._rules[type(thing)] if self._allows(caller, thing, action))

    def _allows(self, caller: Caller, thing: Thing, action: str) -> bool:
        try:
            self.check(caller, thing, action)
        except ParcelaError:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFacts(Thing):
    """A template; public ones and those of one's projects are visible to others than the owner."""

    noun: ClassVar[str] = "template"
    read_all: ClassVar[Permission] = Permission.TEMPLATE_READ_ALL
    write_all: ClassVar[Permission] = Permission.TEMPLATE_WRITE_ALL

    visibility: str

    def check_visible(self, caller: Caller) -> None:
        """Everybody sees public ones, members those of their projects, people their own."""
        if self.visibility == "public" or caller.sees(self.owner_id, self.read_all):
            return
        if self.project_id not in caller.projects or not caller.reaches(self.noun):
            raise not_found(self.noun, self.id)

    def check_writable(self, caller: Caller, scope: Scope) -> None:
        """Owners and managers of its project change it, and holders of ``template:write_all``."""
        mine = self.owner_id == caller.user_id or caller.manages(self.project_id)
        if (mine and caller.in_scope(scope)) or caller.can(self.write_all):
            return
        self.check_visible(caller)
        if mine or caller.holds(self.write_all):
            raise scope_missing(scope if mine else self.write_all)
        raise forbidden("not_yours", "You may look at this template but not change it.")


def may_launch(caller: Caller, template: TemplateFacts) -> None:
    """A slice is made and built."""
    template.check_visible(caller)
    caller.require(Permission.SLICE_CREATE)
    caller.require_scope(Scope.SLICE_DEPLOY)


TEMPLATE_RULES: Rules = {
    "launch": Rule(may_launch),
    "update": writing(Scope.TEMPLATE_UPDATE),
    "share": writing(Scope.TEMPLATE_SHARE),
    "delete": writing(Scope.TEMPLATE_DELETE),
}


def busy(what: str, operation_id: int | None) -> ParcelaError:
    """Something else works on it."""
    which = f" (operation {operation_id})" if operation_id else ""
    return conflict("busy", f"Another operation{which} is working on {what}; wait for it or cancel it.")
