"""Reports as answers: files with their names and types."""

import re
from typing import Any

from fastapi import Response

from parcela.services.reports.renderer import MEDIA_TYPES
from parcela.services.reports.report import Format, Report

FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report, in the format that was asked for",
        "content": {
            MEDIA_TYPES[form].partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for form in (Format.CSV, Format.XLSX, Format.PDF)
        },
    }
}
"""``responses=`` of a route that gives files besides JSON."""
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def file_answer(report: Report, form: Format, content: bytes) -> Response:
    """A file to be saved; its name says which machine and which day."""
    about = UNSAFE.sub("-", report.selection.machine_code or "all").strip("-.") or "machine"
    name = f"maintenance-{about}-{report.made_here:%Y-%m-%d}.{form.value}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)
