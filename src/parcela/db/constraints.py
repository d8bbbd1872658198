"""Constraint violations -> errors of ours, by constraint name, in one place."""

import re

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from parcela.core.errors import ErrorKind, ParcelaError, Problem, conflict
from parcela.db.model_rules import (
    INT64,
    column_of,
    field_of,
    is_too_large,
    noun_of,
    references_of,
    rule_of,
    rule_of_column,
)
from parcela.db.statements import written

_MESSAGES: dict[str, tuple[str, str, str]] = {
    "uq_users_email": ("email_taken", "email", "This e-mail address is already in use."),
    "uq_users_username": ("username_taken", "username", "This username is already in use."),
    "uq_roles_name": ("role_exists", "name", "There is already a role with this name."),
    "uq_flavours_name": ("flavour_exists", "name", "There is already a flavour with this name."),
    "uq_images_name": ("image_exists", "name", "There is already an image with this name."),
    "uq_zones_name": ("zone_exists", "name", "There is already a zone with this name."),
    "uq_hosts_name": ("host_exists", "name", "There is already a host with this name."),
    "uq_machines_code": ("machine_exists", "code", "There is already a machine with this code."),
    "uq_host_machines_machine_id": ("machine_is_a_host", "machine_id", "This machine is already another host."),
    "uq_reservations_vm_id": ("already_reserved", "vm", "Capacity is already reserved for this VM."),
    "uq_idempotency_keys_user_id_key": ("idempotency_race", "Idempotency-Key", "The same request is running just now."),
    "uq_segments_tag": ("segment_tag_race", "segment", "Two segments wanted the same tag; try again."),
    "uq_nics_mac": ("mac_race", "nic", "Two network cards wanted the same MAC; try again."),
    "fk_template_references_image_id": ("image_gone", "document", "An image of the template was removed just now."),
    "fk_template_references_flavour_id": (
        "flavour_gone",
        "document",
        "A flavour of the template was removed just now.",
    ),
    "ck_hosts_vcpus_capacity": ("no_capacity", "vcpus", "The host has not that many vCPUs."),
    "ck_hosts_memory_capacity": ("no_capacity", "memory_mib", "The host has not that much memory."),
    "ck_hosts_disk_capacity": ("no_capacity", "disk_gib", "The host has not that much disk."),
}

_SQLITE_COLUMNS = re.compile(r"(?P<what>UNIQUE|NOT NULL) constraint failed: (?P<columns>[\w., ]+)")
_NAMED = re.compile(r"\b((?:uq|ck|fk|ix|pk)_\w+)")
_NO_VALUE = re.compile(
    r"NOT NULL constraint failed: \w+\.(?P<sqlite>\w+)|Column '(?P<maria>\w+)' cannot be null"
    r"|null value in column \"(?P<postgres>\w+)\"|Field '(?P<default>\w+)' doesn't have a default value"
)
_TWICE = re.compile(r"UNIQUE constraint failed|Duplicate entry")
_STILL_USED = re.compile(r"is still referenced|[Cc]annot delete or update a parent row")
_TOO_LARGE = re.compile(
    r"[Dd]ata too long|too long for type|[Oo]ut of range|value out of int(?:32|64) range|too large to convert"
)
_DEADLOCK_CODES = {1205, 1213}  # MariaDB: lock wait timeout, deadlock
# MariaDB: shutting down, cannot connect (socket, TCP), gone away, lost while asked. SQLAlchemy takes some of them for
# ordinary errors when they come while it connects.
_LOST_CODES = {1053, 1927, 2002, 2003, 2006, 2013, 2055}
_DEADLOCK_STATES = {"40001", "40P01"}  # PostgreSQL: serialisation failure, deadlock


def constraint_name(exc: DBAPIError) -> str:
    """Name of the violated constraint, as our naming convention makes it; "" when the database does not tell."""
    cause = getattr(exc.orig, "__cause__", None)
    named = getattr(cause, "constraint_name", None)
    if named:
        return str(named)
    text = str(exc.orig)
    if (found := _SQLITE_COLUMNS.search(text)) and found["what"] == "UNIQUE":
        parts = [part.strip().split(".") for part in found["columns"].split(",")]
        return f"uq_{parts[0][0]}_" + "_".join(column for _, column in parts)
    # The last one: MariaDB tells the value first, and somebody may have typed the name of another constraint.
    names = _NAMED.findall(text)
    return str(names[-1]) if names else ""


def translation(exc: BaseException) -> ParcelaError | None:
    """The error to show for what a database refuses to store; None when it refused for another reason."""
    if isinstance(exc, OverflowError):  # of SQLite's driver, before it has looked at the statement
        sentence = f"A number is beyond what can be stored: {-INT64 - 1} to {INT64}."
        return _refused(ErrorKind.INVALID, "out_of_range", "body", sentence, str(exc))
    if not isinstance(exc, DBAPIError) or is_transient(exc):
        return None
    text = str(exc.orig)
    if isinstance(exc, IntegrityError) or _NO_VALUE.search(text):
        return translate(exc)
    if isinstance(exc, OperationalError) and "constraint" in text.lower():
        return translate(exc)  # MariaDB reports a violated CHECK as an operational error (4025)
    return _too_large(exc) if _TOO_LARGE.search(text) else None


def translate(exc: DBAPIError) -> ParcelaError:
    """The error to show for a violated constraint: which field it is, and what is allowed there."""
    name, text = constraint_name(exc), str(exc.orig)
    if name in _MESSAGES:
        code, where, sentence = _MESSAGES[name]
        if code == "no_capacity":
            return ParcelaError(ErrorKind.NO_CAPACITY, code, sentence, internal=text)
        return conflict(code, sentence, Problem(where, sentence, code))
    table = written(exc).table
    if found := _NO_VALUE.search(text):
        field = field_of(table, str(next(filter(None, found.groups()))))
        return _refused(ErrorKind.INVALID, "value_missing", field, "A value is needed.", text)
    if name.startswith("fk_") or "foreign key" in text.lower():
        return _of_reference(exc, name, table)
    return _of_rule(name, table, text)


def _of_rule(name: str, table: str, text: str) -> ParcelaError:
    """A CHECK, something that is there already, or what a trigger refuses."""
    if rule := rule_of(name):
        kind, code = _KINDS[name[:2]]
        return _refused(kind, code, rule.fields, rule.sentence, text)
    if (rule := rule_of(f"pk_{table}")) and _TWICE.search(text):  # SQLite and MariaDB do not tell the name of a key
        return _refused(ErrorKind.CONFLICT, "already_exists", rule.fields, rule.sentence, text)
    what = f"The rules of {table.replace('_', ' ')}" if table else "The rules of the stored data"
    sentence = f"{what} do not allow this{f' ({name})' if name else ''}."
    return ParcelaError(ErrorKind.CONFLICT, "constraint_violated", sentence, internal=text)


_KINDS: dict[str, tuple[ErrorKind, str]] = {
    "ck": (ErrorKind.INVALID, "value_not_allowed"),
    "uq": (ErrorKind.CONFLICT, "already_exists"),
    "pk": (ErrorKind.CONFLICT, "already_exists"),
}


def _of_reference(exc: DBAPIError, name: str, table: str) -> ParcelaError:
    """Something refers to what goes, or the thing that is referred to is not there."""
    internal = str(exc.orig)
    said = f"{internal} {getattr(getattr(exc.orig, '__cause__', None), 'detail', '')}"
    if _STILL_USED.search(said) or written(exc).deletes:
        by = f" ({name.removeprefix('fk_')})" if name else ""
        sentence = f"Something else still refers to this {noun_of(table)}{by}." if table else "It is still in use."
        return ParcelaError(ErrorKind.CONFLICT, "still_in_use", sentence, internal=internal)
    if rule := rule_of(name):
        return _refused(ErrorKind.INVALID, "reference_missing", rule.fields, rule.sentence, internal)
    # SQLite does not say which one: those that were written.
    values = written(exc).values
    rules = [
        rule for column in references_of(table) if values.get(column) and (rule := rule_of(f"fk_{table}_{column}"))
    ]
    fields = ", ".join(rule.fields for rule in rules) or table
    sentence = "One of these is not there: " + fields + "." if len(rules) != 1 else rules[0].sentence
    return _refused(ErrorKind.INVALID, "reference_missing", fields, sentence, internal)


def _too_large(exc: DBAPIError) -> ParcelaError:
    """Too many characters, or a number beyond what the column keeps: found by the values that were to be written."""
    what = written(exc)
    for name, values in what.values.items():
        column = column_of(what.table, name)
        rule = rule_of_column(what.table, name)
        if column is not None and rule is not None and any(is_too_large(column, value) for value in values):
            code = "too_long" if "character" in rule.sentence else "out_of_range"
            return _refused(ErrorKind.INVALID, code, rule.fields, rule.sentence, str(exc.orig))
    sentence = "A text is longer, or a number larger, than can be stored."
    return _refused(ErrorKind.INVALID, "out_of_range", what.table or "body", sentence, str(exc.orig))


def _refused(kind: ErrorKind, code: str, fields: str, sentence: str, internal: str) -> ParcelaError:
    problems = [Problem(field, sentence, code) for field in fields.split(", ")]
    return ParcelaError(kind, code, f"{fields}: {sentence}", internal=internal, problems=problems)


def is_transient(exc: BaseException) -> bool:
    """Whether the database asks for a repeat of the whole transaction (deadlock, serialisation failure).

    Also of an error of ours that was made of it.
    """
    if isinstance(exc, ParcelaError) and exc.__cause__ is not None:
        exc = exc.__cause__
    if not isinstance(exc, DBAPIError):
        return False
    args: tuple[object, ...] = tuple(getattr(exc.orig, "args", ()))
    state = getattr(exc.orig, "sqlstate", None) or getattr(getattr(exc.orig, "__cause__", None), "sqlstate", None)
    return (bool(args) and args[0] in _DEADLOCK_CODES) or state in _DEADLOCK_STATES


def is_lost(exc: BaseException | None) -> bool:
    """Whether the database does not answer: it is away, goes away, or has no connection left."""
    if isinstance(exc, InterfaceError) and _TOO_LARGE.search(str(exc.orig)):
        return False  # asyncpg's word for a number that it cannot send
    if isinstance(exc, InterfaceError | ConnectionError | PoolTimeoutError):
        return True
    if not isinstance(exc, DBAPIError):
        return False
    args: tuple[object, ...] = tuple(getattr(exc.orig, "args", ()))
    return exc.connection_invalidated or (bool(args) and args[0] in _LOST_CODES)
