"""Lists of people to invite, as teachers have them: CSV with an address and perhaps a role per line."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from parcela.core.errors import ParcelaError, Problem, invalid
from parcela.core.permissions import ProjectRole
from parcela.services.identity.users import clean_email

MAX_PROBLEMS = 100
HEADINGS = frozenset({"email", "e-mail", "address", "correo"})


@dataclass(frozen=True, slots=True)
class Invitee:
    """An address in lower case, and the role its owner is to have."""

    email: str
    role: ProjectRole


def read_invitees(text: str, role: ProjectRole, most: int) -> Sequence[Invitee]:
    """The people of a list, each address once.

    Args:
        text: lines of ``address`` or ``address,role``; an empty line and a heading (``email``) are passed over.
        role: of lines that name none.
        most: how many lines with an address there may be.

    Raises:
        ParcelaError: ``invalid`` with code ``list_invalid`` and a problem per bad line, also for an address with
            two roles; nothing is known of accounts.
    """
    found: dict[str, Invitee] = {}
    problems: list[Problem] = []
    lines = 0
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True), 1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or (number == 1 and cells[0].lower() in HEADINGS):
                continue
            lines += 1
            try:
                one = _invitee(cells, role)
            except ParcelaError as exc:
                problems.append(Problem(f"line {number}", exc.message, exc.code))
            else:
                if found.setdefault(one.email, one) != one:
                    text = f"{one.email} has the role {found[one.email].role} on a line before; leave one of them."
                    problems.append(Problem(f"line {number}", text, "two_roles"))
    except csv.Error as exc:
        problems.append(Problem("body", f"This is no CSV text: {exc}.", "csv_invalid"))
    if lines > most:
        problems.append(Problem("body", f"There are {lines} addresses; a list may have {most}.", "too_many_lines"))
    if not problems and not found:
        problems.append(Problem("body", "There is no address in the list.", "list_empty"))
    if problems:
        text = f"{len(problems)} place(s) of the list are wrong; see 'problems'. Nobody was invited."
        raise invalid("list_invalid", text, *problems[:MAX_PROBLEMS])
    return list(found.values())


def _invitee(cells: Sequence[str], role: ProjectRole) -> Invitee:
    if len(cells) > 2:
        raise invalid("too_many_columns", "A line has an address and perhaps a role, separated by a comma.")
    said = cells[1].lower() if len(cells) == 2 and cells[1] else role.value
    if said not in set(ProjectRole):
        raise invalid("unknown_role", f"A role is one of {', '.join(ProjectRole)}.")
    return Invitee(clean_email(cells[0]), ProjectRole(said))
