"""From what people type, an id or a name, to one thing of the API."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parcela.cli.client import Api, Json
from parcela.cli.exits import CliError, Exit, fail

Named = Callable[[Json, str], bool]


def is_id(ref: str) -> bool:
    """Whether it looks like an id; a thing whose name looks so too is found when no such id exists."""
    return ref.isascii() and ref.isdigit() and 0 < int(ref) < 2**63 if len(ref) < 20 else False


def _same_name(row: Json, ref: str) -> bool:
    return bool(row["name"] == ref)


def find(
    api: Api, noun: str, path: str, ref: str, filters: Mapping[str, Any] | None = None, named: Named = _same_name
) -> Json:
    """One thing by its id or its unique name.

    Args:
        api: the server.
        noun: for messages, e.g. ``slice``.
        path: of the list, e.g. ``/slices``.
        ref: what was typed.
        filters: query that narrows the list down to the name, where the API has one.
        named: whether a row of the list has the name.

    Raises:
        CliError: there is none (exit code REFUSED) or there are several (INVALID).
    """
    if is_id(ref):
        try:
            found: Json = api.get(f"{path}/{int(ref)}")
        except CliError as error:
            if error.problem.get("status") != 404:
                raise
        else:
            return found
    rows = [row for row in api.pages(f"{path}/", **(filters or {})) if named(row, ref)]
    if not rows:
        word = f"{noun.replace(' ', '_')}_not_found"
        raise fail(Exit.REFUSED, word, f"There is no {noun} '{ref}'; 'parcela {noun} list' prints those there are.")
    if len(rows) > 1:
        raise ambiguous(noun, ref, rows)
    return rows[0]


def ambiguous(noun: str, ref: str, rows: Sequence[Json]) -> CliError:
    """Several things have the name."""
    ids = ", ".join(str(row["id"]) for row in rows[:10])
    text = f"{len(rows)} of your {noun}s are called '{ref}': say which by its id ({ids})."
    return fail(Exit.INVALID, "name_ambiguous", text)


def find_slice(api: Api, ref: str) -> Json:
    """A slice that is not destroyed; by its id, any."""
    return find(api, "slice", "/slices", ref, {"name": ref})


def find_template(api: Api, ref: str) -> Json:
    """A template."""
    return find(api, "template", "/templates", ref, {"name": ref[:100]})


def find_project(api: Api, ref: str) -> Json:
    """A project; case does not matter."""
    same = ref.casefold()
    return find(api, "project", "/projects", ref, {"name": ref[:100]}, lambda row, _: row["name"].casefold() == same)


def find_vm(api: Api, ref: str) -> Json:
    """A VM: by id, by name, or as ``SLICE/VM`` when several slices have one of that name."""
    slice_ref, slash, name = ref.rpartition("/")
    if not slash:
        return find(api, "vm", "/virtual-machines", ref, {"name": ref[:63]})
    found = find_slice(api, slice_ref)
    filters = {"name": name[:63], "slice_id": found["id"]}
    rows = [row for row in api.pages("/virtual-machines/", **filters) if row["name"] == name]
    if not rows:
        raise fail(Exit.REFUSED, "vm_not_found", f"The slice '{found['name']}' has no VM '{name}'.")
    return rows[0]


def find_user(api: Api, ref: str) -> Json:
    """A user: by id, e-mail address or username."""
    text = ref.lower()
    return find(api, "user", "/users", ref, {"q": ref}, lambda row, _ref: text in {row["email"], row["username"]})
