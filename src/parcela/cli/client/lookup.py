"""From what people type, an id or a name, to one thing of the API.

What is typed means the same in every command:

- ``#7`` and ``id:7`` are the thing with the id 7 and nothing else (``id:`` because a shell takes ``#`` for a comment).
- ``name:TEXT`` is the thing called TEXT, whatever TEXT looks like.
- Digits alone are an id or a name: what there is decides, and when both are there it is an error.
- All else is a name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parcela.cli.client.client import Api, Json
from parcela.cli.exits import CliError, Exit, fail
from parcela.core.collation import caseless, composed
from parcela.core.labels import MAX_LABEL, tidy

Named = Callable[[Json, str], bool]
"""Whether a row of a list has a name."""
Filters = Callable[[str], Mapping[str, Any]]
"""The query that narrows a list down to a name, where the API has one."""
ID_MARKS = ("#", "id:")
NAME_MARK = "name:"
MAX_LISTED = 10
UNLISTED = frozenset({"role", "member", "invitation"})
"""Kinds of things that no command of their own lists."""


@dataclass(frozen=True, slots=True)
class Ref:
    """What somebody typed.

    Attributes:
        typed: the text.
        number: the id that it may be.
        name: the name that it may be; at least one of the two is there.
    """

    typed: str
    number: int | None
    name: str | None

    @property
    def is_open(self) -> bool:
        """Whether it may be an id as well as a name."""
        return self.number is not None and self.name is not None


def is_id(text: str) -> bool:
    """Whether it looks like an id: ASCII digits, 1 to 2**63 - 1; with a zero before them they are a name."""
    return len(text) < 20 and text.isascii() and text.isdigit() and text[0] != "0" and int(text) < 2**63


def read_ref(text: str) -> Ref:
    """What a text may mean; ``#x`` and ``id:x`` without a number are names."""
    text = composed(text)
    for mark in ID_MARKS:
        rest = text.removeprefix(mark)
        if rest != text and is_id(rest):
            return Ref(text, int(rest), None)
    if text.startswith(NAME_MARK) and text != NAME_MARK:
        return Ref(text, None, text.removeprefix(NAME_MARK))
    return Ref(text, int(text) if is_id(text) else None, text)


def as_id(text: str, what: str) -> str:
    """A text that ``--id`` says is an id, so that ``read_ref`` takes it for nothing else.

    Raises:
        CliError: USAGE, when it is no number.
    """
    ref = read_ref(text)
    if ref.number is None:
        raise fail(Exit.USAGE, "usage", f"With --id, {what} is a number from 1, not '{text}'.")
    return f"#{ref.number}"


def number_of(text: str, noun: str) -> int:
    """The id of a thing that has no name: ``7``, ``#7`` or ``id:7``.

    Raises:
        CliError: USAGE, when it is none of these.
    """
    ref = read_ref(text)
    if ref.number is None:
        raise fail(Exit.USAGE, "usage", f"The {noun} is a number from 1 ('7', '#7' or 'id:7'), not '{text}'.")
    return ref.number


def _same_name(row: Json, name: str) -> bool:
    return bool(row["name"] == name)


def find(api: Api, noun: str, path: str, text: str, filters: Filters | None = None, named: Named = _same_name) -> Json:
    """One thing by its id or its unique name.

    Args:
        api: the server.
        noun: for messages, e.g. ``slice``.
        path: of the list, e.g. ``/slices``.
        text: what was typed.
        filters: query that narrows the list down to the name.
        named: whether a row of the list has the name.

    Raises:
        CliError: there is none (exit code REFUSED) or there are several (INVALID).
    """
    ref = read_ref(text)
    found = [] if ref.number is None else _by_id(api, f"{path}/{ref.number}")
    if ref.name is not None:
        rows = api.pages(f"{path}/", **(filters(ref.name) if filters else {}))
        found += _others(found, (row for row in rows if named(row, ref.name)))
    return _only(noun, ref, found)


def choose(noun: str, text: str, rows: Sequence[Json], named: Named = _same_name, id_field: str = "id") -> Json:
    """``find`` among things that are all at hand."""
    ref = read_ref(text)
    found = [row for row in rows if ref.number is not None and row[id_field] == ref.number]
    if ref.name is not None:
        found += _others(found, (row for row in rows if named(row, ref.name)), id_field)
    return _only(noun, ref, found, id_field)


def _by_id(api: Api, path: str) -> list[Json]:
    try:
        return [api.get(path)]
    except CliError as error:
        if error.problem.get("status") != 404:
            raise
        return []


def _others(found: Sequence[Json], rows: Iterable[Json], id_field: str = "id") -> list[Json]:
    """Rows that are not among those that are found: a thing may be called by its own id."""
    ids = {row[id_field] for row in found}
    return [row for row in rows if row[id_field] not in ids]


def _only(noun: str, ref: Ref, found: Sequence[Json], id_field: str = "id") -> Json:
    if not found:
        word = f"{noun.replace(' ', '_')}_not_found"
        hint = "" if noun in UNLISTED else f"; 'parcela {noun} list' prints those there are"
        called = f"with the id {ref.number}" if ref.name is None else f"'{ref.name}'"
        raise fail(Exit.REFUSED, word, f"There is no {noun} {called}{hint}.")
    if len(found) > 1:
        raise ambiguous(noun, ref.typed, found, id_field)
    return found[0]


def ambiguous(noun: str, typed: str, rows: Sequence[Json], id_field: str = "id") -> CliError:
    """Several things that a text may mean, each with its id, name, owner and state, and how to say which."""
    ref = read_ref(typed)
    way = f"say which by its id: 'id:{rows[0][id_field]}' or '#{rows[0][id_field]}' (in quotes)"
    if ref.is_open and len(rows) == 2 and rows[0][id_field] == ref.number:
        way += f", and 'name:{typed}' for the one of that name"
    text = f"'{typed}' may be {len(rows)} of the {noun}s: {way}."
    problems = [
        {"where": f"#{row[id_field]}", "what": describe(noun, row, id_field), "code": "candidate"}
        for row in rows[:MAX_LISTED]
    ]
    return fail(Exit.INVALID, "name_ambiguous", text, problems=problems)


def describe(noun: str, row: Json, id_field: str = "id") -> str:
    """A thing in words: ``slice 7 'lab' (owner ana, project net-1, running)``; what it has none of is left out."""
    name = next((row[field] for field in ("name", "code", "username", "project") if row.get(field)), "")
    owner = row.get("owner") or (f"user {row['owner_id']}" if row.get("owner_id") else "")
    state = next((row[field] for field in ("state", "status", "visibility", "kind") if row.get(field)), "")
    in_slice, label = row.get("slice") or "", row.get("label") or ""
    project = "" if row.get("project") in {None, name} else row["project"]
    facts = {
        "label": f"'{label}'" if label else "",
        "owner": owner,
        "project": project,
        "slice": in_slice,
        "": str(state),
    }
    told = ", ".join(f"{what} {fact}".strip() for what, fact in facts.items() if fact)
    return f"{noun} {row[id_field]} '{name}'" + (f" ({told})" if told else "")


def taken_for(noun: str, typed: str, found: Json, id_field: str = "id") -> str:
    """What digits alone were taken for, to be said before something is lost; empty when they were not alone."""
    slice_ref, slash, _name = typed.rpartition("/")
    if noun == "vm" and slash:
        return taken_for("slice", slice_ref, {"id": found["slice_id"], "name": found["slice"]})
    ref = read_ref(typed)
    if not ref.is_open:
        return ""
    what = "id" if found[id_field] == ref.number else "name"
    return f"'{typed}' is the {what} of {describe(noun, found, id_field)}."


def _by_name(most_chars: int) -> Filters:
    return lambda name: {"name": name[:most_chars]}


def find_slice(api: Api, ref: str) -> Json:
    """A slice that is not destroyed; by its id, any."""
    return find(api, "slice", "/slices", ref, lambda name: {"name": name})


def find_template(api: Api, ref: str) -> Json:
    """A template."""
    return find(api, "template", "/templates", ref, _by_name(100))


def find_image(api: Api, ref: str) -> Json:
    """An image."""
    return find(api, "image", "/images", ref, _by_name(100))


def find_flavour(api: Api, ref: str) -> Json:
    """A flavour."""
    return find(api, "flavour", "/flavours", ref, _by_name(100))


def find_zone(api: Api, ref: str) -> Json:
    """A zone."""
    return find(api, "zone", "/zones", ref, _by_name(100))


def find_role(api: Api, ref: str) -> Json:
    """A role."""
    return find(api, "role", "/roles", ref)


def name_of(api: Api, find_it: Callable[[Api, str], Json], ref: str | None) -> str | None:
    """The name of a thing whose name the API asks for; what can only be a name is not looked up. None stays None."""
    return ref if ref is None or is_plain(ref) else str(find_it(api, ref)["name"])


def is_plain(text: str) -> bool:
    """Whether a text can only be a name, and that as it stands."""
    return read_ref(text) == Ref(text, None, text)


def find_project(api: Api, ref: str) -> Json:
    """A project; case does not matter."""
    return find(api, "project", "/projects", ref, _by_name(100), _same_project)


def _same_project(row: Json, name: str) -> bool:
    """Whether a project has a name."""
    return bool(caseless(row["name"]) == caseless(name))


def find_vm(api: Api, ref: str) -> Json:
    """A VM: by id, by host name, by label, or as ``SLICE/VM`` when several slices have one of that name.

    A label counts only where no VM has the host name.
    """
    slice_ref, slash, name = ref.rpartition("/")
    if not slash:
        said = read_ref(ref)
        either = [] if said.number is None else _by_id(api, f"/virtual-machines/{said.number}")
        if said.name is not None:
            rows = [row for row in api.pages("/virtual-machines/", name=said.name[:63]) if row["name"] == said.name]
            either += _others(either, rows or _labelled(api, said.name))
        return _only("vm", said, either)
    found = find_slice(api, slice_ref)
    filters = {"name": name[:63], "slice_id": found["id"]}
    rows = [row for row in api.pages("/virtual-machines/", **filters) if row["name"] == name]
    rows = rows or _labelled(api, name, slice_id=found["id"])
    if not rows:
        raise fail(Exit.REFUSED, "vm_not_found", f"The slice '{found['name']}' has no VM '{name}'.")
    return rows[0] if len(rows) == 1 else _only("vm", Ref(ref, None, name), rows)


def _labelled(api: Api, label: str, **filters: Any) -> list[Json]:
    """VMs with a label."""
    wanted = tidy(label)
    if not 0 < len(wanted) <= MAX_LABEL:
        return []
    return [row for row in api.pages("/virtual-machines/", label=wanted, **filters) if row.get("label") == wanted]


def find_machine(api: Api, ref: str) -> Json:
    """A machine: by id or code, whatever its case."""
    return find(api, "machine", "/machines", ref, lambda code: {"code": _code(code)[:64]}, _has_code)


def _code(text: str) -> str:
    return text.strip().upper()


def _has_code(row: Json, name: str) -> bool:
    return bool(row["code"] == _code(name))


def find_user(api: Api, ref: str) -> Json:
    """A user: by id, e-mail address or username."""
    return find(api, "user", "/users", ref, lambda name: {"q": name}, _is_user)


def _is_user(row: Json, name: str) -> bool:
    return name.lower() in {row["email"], row["username"]}
