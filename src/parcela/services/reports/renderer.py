"""Writes reports as files, in processes of their own: few at once, each with an end."""

import asyncio
import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import IO

import structlog
from pydantic import TypeAdapter

from parcela.core.disks import storage_full
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.reports.render import OUT_OF_DISK
from parcela.services.reports.report import Format, Report

log = structlog.get_logger(__name__)
REPORT = TypeAdapter(Report)
MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.PDF: "application/pdf",
}
AT_ONCE = 2
"""Processes; each is busy with one processor for seconds."""
WAITING = 6
"""More than that are sent away at once, rather than all being kept waiting."""
MAX_FILE_BYTES = 64 * 1024 * 1024
PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "TMPDIR")
"""What the process gets of our environment: none of our secrets."""
SHOWN_ERROR_CHARS = 2000


class ReportRenderer:
    """Renders; safe for concurrent use. Nothing is left behind when a request is cancelled."""

    def __init__(self, cache_dir: Path, *, timeout_s: float) -> None:
        """Keep matplotlib's list of fonts in ``cache_dir``; a rendering ends after ``timeout_s`` seconds."""
        self._cache_dir = cache_dir
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def render(self, report: Report, form: Format) -> bytes:
        """Write a report as a CSV file, a workbook or a PDF.

        Raises:
            ParcelaError: ``unavailable`` with code ``report_busy`` (too many wait), ``report_too_slow`` (it did not
                end in time) or ``report_failed``.
        """
        if self._waiting >= WAITING:
            raise _unavailable("report_busy", "Too many reports are being written; try again in a while.")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._in_a_process(report, form)
        finally:
            self._places.release()

    async def _in_a_process(self, report: Report, form: Format) -> bytes:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as made, tempfile.TemporaryFile() as errors:
            await asyncio.to_thread(_fill, given, report)
            code = await self._run(form, given, made, errors)
            if code == OUT_OF_DISK:
                raise storage_full("the folder of the server's temporary files", "the report's process found it full")
            if code:
                raise _failed(code, errors)
            return await asyncio.to_thread(_content, made)

    async def _run(self, form: Format, given: IO[bytes], made: IO[bytes], errors: IO[bytes]) -> int:
        """The exit code. Files instead of pipes: nobody has to feed or empty them while the process runs."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parcela.services.reports.render", form.value, str(int(self._timeout_s) + 1)),
            stdin=given,
            stdout=made,
            stderr=errors,
            env=self._environment(),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                return await process.wait()
        except TimeoutError as exc:
            text = "The report was not ready in time; ask for fewer records, or for CSV."
            raise _unavailable("report_too_slow", text) from exc
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
        return {**kept, **single, "MPLCONFIGDIR": str(self._cache_dir), "MPLBACKEND": "svg"}


def _fill(given: IO[bytes], report: Report) -> None:
    given.write(REPORT.dump_json(report))
    given.seek(0)


def _content(made: IO[bytes]) -> bytes:
    size = made.seek(0, os.SEEK_END)
    if size > MAX_FILE_BYTES:
        raise ParcelaError(ErrorKind.TOO_LARGE, "report_too_large", "The report is too large; ask for fewer records.")
    made.seek(0)
    return made.read()


def _failed(code: int, errors: IO[bytes]) -> ParcelaError:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - SHOWN_ERROR_CHARS))
    error = _unavailable("report_failed", "The report could not be written; CSV and JSON may still work.")
    error.internal = f"exit {code}: {errors.read().decode(errors='replace')}"
    return error


def _unavailable(code: str, message: str) -> ParcelaError:
    return ParcelaError(ErrorKind.UNAVAILABLE, code, message, retry_after_s=30)
