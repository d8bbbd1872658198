"""Factories of the inventory over HTTP."""

import struct
import zlib
from typing import Any

from tests.integration.http.lab import Lab


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\x00"))
    + _chunk(b"IEND", b"")
)
"""A whole picture of one pixel."""


async def machine(lab: Lab, **facts: Any) -> dict[str, Any]:
    """A machine that works."""
    return await lab.make("/machines/", "admin", json={"code": lab.unique("PC"), "type": "PC"} | facts)


async def archived_machine(lab: Lab) -> dict[str, Any]:
    """A machine that was put away."""
    made = await machine(lab)
    return await lab.make(f"/machines/{made['id']}/archive", "admin", 200)


async def machine_with_photo(lab: Lab) -> dict[str, Any]:
    """A machine with a photo."""
    made = await machine(lab)
    answer = await lab.call("PUT", f"/machines/{made['id']}/photo", "admin", content=PNG)
    assert answer.status_code == 200, answer.text
    return made


async def record(lab: Lab, *, machine_id: int | None = None, **facts: Any) -> dict[str, Any]:
    """Open maintenance, corrective unless something else is said."""
    body = {"machine_id": machine_id or (await machine(lab))["id"], "kind": "corrective"}
    return await lab.make("/maintenance-records/", "admin", json=body | facts)


async def plan(lab: Lab, *, machine_id: int | None = None, **facts: Any) -> dict[str, Any]:
    """A plan that is far away."""
    body = {"machine_id": machine_id or (await machine(lab))["id"], "title": "Clean", "next_due_on": "2040-01-01"}
    return await lab.make("/maintenance-plans/", "admin", json=body | facts)


async def attachment(lab: Lab) -> dict[str, Any]:
    """A file that belongs to a machine."""
    made = await machine(lab)
    options: dict[str, Any] = {"content": b"%PDF-1.7 anything", "params": {"name": "invoice.pdf"}}
    return await lab.make(f"/machines/{made['id']}/attachments", "admin", **options)
