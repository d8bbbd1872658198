"""Constraint violations -> errors of ours, by constraint name, in one place."""

import re

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from parcela.core.errors import ErrorKind, ParcelaError, Problem, conflict

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
    "ck_hosts_vcpus_capacity": ("no_capacity", "vcpus", "The host has not that many vCPUs."),
    "ck_hosts_memory_capacity": ("no_capacity", "memory_mib", "The host has not that much memory."),
    "ck_hosts_disk_capacity": ("no_capacity", "disk_gib", "The host has not that much disk."),
}

_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (?P<columns>[\w., ]+)")
_NAMED = re.compile(r"\b((?:uq|ck|fk|ix|pk)_\w+)")
_DEADLOCK_CODES = {1205, 1213}  # MariaDB: lock wait timeout, deadlock
# MariaDB: shutting down, cannot connect (socket, TCP), gone away, lost while asked. SQLAlchemy takes some of them for
# ordinary errors when they come while it connects.
_LOST_CODES = {1053, 1927, 2002, 2003, 2006, 2013, 2055}
_DEADLOCK_STATES = {"40001", "40P01"}  # PostgreSQL: serialisation failure, deadlock


def constraint_name(exc: IntegrityError) -> str:
    """Name of the violated constraint, as our naming convention makes it; "" when the database does not tell."""
    cause = getattr(exc.orig, "__cause__", None)
    named = getattr(cause, "constraint_name", None)
    if named:
        return str(named)
    text = str(exc.orig)
    if found := _SQLITE_UNIQUE.search(text):
        parts = [part.strip().split(".") for part in found["columns"].split(",")]
        return f"uq_{parts[0][0]}_" + "_".join(column for _, column in parts)
    found_name = _NAMED.search(text)
    return found_name.group(1) if found_name else ""


def translate(exc: IntegrityError) -> ParcelaError:
    """The error to show for a violated constraint."""
    name = constraint_name(exc)
    if name in _MESSAGES:
        code, where, sentence = _MESSAGES[name]
        if code == "no_capacity":
            return ParcelaError(ErrorKind.NO_CAPACITY, code, sentence, internal=str(exc.orig))
        return conflict(code, sentence, Problem(where, sentence, code))
    if name.startswith("fk_") or "foreign key" in str(exc.orig).lower():
        return ParcelaError(
            ErrorKind.CONFLICT, "still_in_use", "Something else still refers to it.", internal=str(exc.orig)
        )
    return ParcelaError(
        ErrorKind.CONFLICT, "constraint_violated", "This does not fit the stored data.", internal=str(exc.orig)
    )


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
    if isinstance(exc, InterfaceError | ConnectionError | PoolTimeoutError):
        return True
    if not isinstance(exc, DBAPIError):
        return False
    args: tuple[object, ...] = tuple(getattr(exc.orig, "args", ()))
    return exc.connection_invalidated or (bool(args) and args[0] in _LOST_CODES)
