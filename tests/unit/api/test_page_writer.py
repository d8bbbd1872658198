"""Pages written from rows are the bytes that the models would be."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from parcela.api.schemas.common import PageRead, PageWriter
from parcela.api.schemas.vms import VmRead
from parcela.core.lifecycle import VmState

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 60, UTC)
WHOLE_SECOND = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def row(number: int, state: VmState, **other: Any) -> dict[str, Any]:
    return {
        "id": number,
        "uuid": UUID(int=number),
        "name": "web",
        "label": 'quotes " and ñ',
        "state": state.value,
        "desired": "running",
        "cores": 1,
        "memory_mib": 128,
        "disk_gib": 2,
        "os": "tiny",
        "flavour": None,
        "owner_id": 4,
        "owner": "ana",
        "project_id": None,
        "slice_id": None,
        "slice": None,
        "host": "local",
        "error": "",
        "status_reason": "",
        "crash_policy": "error",
        "operation_id": 2**53 + 1,
        "ready_at": None,
        "created_at": MOMENT,
        "updated_at": WHOLE_SECOND,
        "not_shown": "secret",
        **other,
    }


def test_rows_are_written_as_the_models_would_be() -> None:
    rows = [row(number, state) for number, state in enumerate(VmState, start=1)] + [
        row(99, VmState.RUNNING, ready_at=MOMENT)
    ]
    adapter = TypeAdapter(PageRead[VmRead])
    models = adapter.validate_python({"items": rows, "next_cursor": "abc"})

    assert PageWriter(VmRead).write(rows, "abc") == adapter.dump_json(models)


def test_an_empty_page() -> None:
    assert PageWriter(VmRead).write([], None) == b'{"items":[],"next_cursor":null}'
