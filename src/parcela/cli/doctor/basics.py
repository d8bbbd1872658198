"""Checks that every installation needs: Python, settings, data folder, disk, database, port, guest."""

import asyncio
import hashlib
import json
import os
import shutil
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from parcela.cli.doctor.report import Check, Finding, Patient, fail, ok, warn
from parcela.core.disks import DiskSpace
from parcela.core.errors import ParcelaError
from parcela.core.open_files import FEW, hard_limit
from parcela.db.database import Database, ProcessLock
from parcela.db.schema import known_revisions, newest_revision

MIN_PYTHON = (3, 11)
LITTLE_DISK_GIB, TOO_LITTLE_DISK_GIB = 20, 2
DATABASE_TIMEOUT_S = 10


def python_version(_patient: Patient) -> Finding:
    """The interpreter is new enough."""
    text = f"Python {sys.version.split()[0]}"
    if sys.version_info[:2] < MIN_PYTHON:
        return fail(text, "Parcela needs Python 3.11 or newer.")
    return ok(text)


def settings(patient: Patient) -> Finding:
    """All settings are known and good."""
    if not patient.problems:
        return ok("All settings are known and allowed.")
    lines = "; ".join(f"{where}: {what}" for where, what in patient.problems)
    mend = "Correct them in the environment or in .env; 'parcela settings' prints what is allowed."
    return fail(f"{lines} (The checks below use the defaults instead.)", mend)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def data_folder(patient: Patient) -> Finding:
    """We can write into the data folder, or make it."""
    folder = patient.settings.data_dir
    place = _existing(folder)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return ok(f"{folder} is writable." if folder.exists() else f"{folder} will be made at the first start.")
    return fail(
        f"{place} may not be written by this user, or is no folder.",
        f"Give it to the user Parcela runs as ('chown -R {os.geteuid()} {place}'), or set PARCELA_DATA_DIR.",
    )


def free_disk(patient: Patient) -> Finding:
    """There is room for images and disks."""
    folder, limit = patient.settings.data_dir, patient.settings.disk_low
    place = _existing(folder)
    free_gib = shutil.disk_usage(place).free / 1024**3
    text = f"{free_gib:.0f} GiB are free below {place}."
    mend = "Free some, or set PARCELA_DATA_DIR to a larger file system: images and VM disks live there."
    # The VM folder may be a file system of its own.
    for short in dict.fromkeys((place, _existing(folder / "hypervisor" / "vms"))):
        shortage = DiskSpace.of(short).shortage(limit)
        if shortage:
            return fail(f"The file system of {short} is short of space: {shortage}. No new VM is taken.", mend)
    if free_gib < TOO_LITTLE_DISK_GIB:
        return fail(text, mend)
    return warn(text, mend) if free_gib < LITTLE_DISK_GIB else ok(text)


def files_allowed(_patient: Patient) -> Finding:
    """The server may open enough files: every connection is one."""
    most = hard_limit()
    if most < FEW:
        mend = f"Raise the hard limit to {FEW} at least: LimitNOFILE= of the unit, or /etc/security/limits.conf."
        return warn(f"{most} files may be open at once, and every connection is one of them.", mend)
    return ok(f"{most} files may be open at once ('serve' takes what it may have).")


async def _revision(url: str) -> str | None:
    """Revision of a database, None when it has no tables of ours yet."""
    database = Database(url)
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_S):
            await database.ping()
        async with database.read_session() as session:
            connection = await session.connection()
            try:
                rows = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
            except Exception:  # noqa: BLE001 (each driver has its own error for a missing table)
                return None
            row = rows.first()
            return str(row[0]) if row else None
    finally:
        await database.aclose()


def database_state(patient: Patient) -> Finding:
    """The database answers, and its tables are those of this version."""
    url = patient.settings.resolved_database_url
    kind = url.partition(":")[0].partition("+")[0]
    if kind == "sqlite" and not Path(url.partition("///")[2]).exists():
        return ok("The SQLite file will be made at the first start.")
    mend = "Does it run, and are address, user and password in DATABASE_URL right?"
    try:
        current = asyncio.run(_revision(url))
    except (ParcelaError, TimeoutError, OSError) as error:
        reason = (error.internal or error.message) if isinstance(error, ParcelaError) else str(error)
        return fail(f"{kind} does not answer: {reason.partition(chr(10))[0]}", mend)
    newest = newest_revision()
    if current is None:
        return ok(f"{kind} answers; its tables will be made at the first start.")
    if current != newest and current in known_revisions():
        text = f"{kind} answers; its tables are at {current}, this version needs {newest}."
        return warn(text, "'parcela migrate' brings them up to date, and 'parcela serve' does so by itself.")
    if current != newest:
        text = f"{kind} answers, but its tables ({current}) are newer than this version of Parcela ({newest})."
        return fail(text, "Run the version that made them, or a newer one.")
    return ok(f"{kind} answers; its tables are up to date ({current}).")


def port(patient: Patient) -> Finding:
    """The port is free, or it is Parcela that has it."""
    host, number = patient.settings.listen_host, patient.settings.listen_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with closing(socket.create_server((host, number), family=family)):
            return ok(f"{host}:{number} is free.")
    except OSError as error:
        if _we_serve(patient):
            return ok(f"{host}:{number} is in use, and a Parcela works on this data folder.")
        reason = os.strerror(error.errno or 0)
        return fail(f"Cannot listen on {host}:{number}: {reason}.", "Set PARCELA_PORT (and PARCELA_HOST) to free ones.")


def _we_serve(patient: Patient) -> bool:
    if not (patient.settings.data_dir / "parcela.lock").exists():
        return False
    lock = ProcessLock(patient.settings.data_dir)
    try:
        lock.acquire()
    except ParcelaError:
        return True
    lock.release()
    return False


def bundled_guest(patient: Patient) -> Finding:
    """The guest that ships with Parcela is built and whole."""
    folder = patient.settings.guest_dir
    mend = f"Build it: 'make guest', or 'guest/build.sh {folder}'; PARCELA_GUEST_DIR says where it is."
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return warn(f"There is no guest in {folder.absolute()}: templates that use 'tiny' cannot run.", mend)
    raw: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
    for part in ("disk", "kernel", "initrd"):
        described = raw.get(part)
        if described is not None and not _is_whole(folder / str(described["file"]), described["sha256"]):
            return fail(f"{folder / str(described['file'])} is missing or damaged.", mend)
    return ok(f"{raw['name']} {raw.get('version', '')} in {folder.absolute()}".rstrip())


def _is_whole(file: Path, sha256: str) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


BASICS = (
    Check("python", python_version),
    Check("settings", settings),
    Check("data folder", data_folder),
    Check("disk", free_disk),
    Check("open files", files_allowed),
    Check("database", database_state),
    Check("port", port),
    Check("guest", bundled_guest),
)
