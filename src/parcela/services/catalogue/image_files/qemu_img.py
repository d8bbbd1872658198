"""``qemu-img`` as a second opinion on an image file, with limits on its time, memory and output."""

import asyncio
import contextlib
import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.hypervisors.spec import ImageFormat
from parcela.services.catalogue.image_files.image_files import ImageFacts, damaged, refusal

TIMEOUT_S: Final = 60.0
CHECK_TIMEOUT_S: Final = 300.0
MAX_TEXT_BYTES: Final = 64 * 1024
"""Kept of each output: a damaged file can make qemu-img print a line for every cluster."""
MEMORY_BYTES: Final = 2 * 1024**3
_DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL", "--")
CONVERT_TIMEOUT_S: Final = 900.0
CONVERT_PROCESSOR_S: Final = 600
_NO_CHECK: Final = 63  # the exit status for a format that has none
_LEAKS: Final = 3  # the exit status of a check that found nothing worse


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tool ended.

    Attributes:
        status: its exit status; negative for the signal that killed it.
        output: the beginning of what it printed, likewise ``errors``.
    """

    status: int
    output: str
    errors: str


async def run_tool(
    *arguments: str, timeout_s: float = TIMEOUT_S, processor_s: int = 30, file_bytes: int | None = None
) -> Outcome:
    """Run ``qemu-img`` with limits; it ends with this call, and with this process.

    Args:
        *arguments: of the command line; the format of each file has to be among them.
        timeout_s: by the clock.
        processor_s: seconds of processor time.
        file_bytes: the longest file it may write; None: not limited.

    Raises:
        ParcelaError: ``unavailable`` when there is no ``qemu-img``, or it does not end in time.
    """
    program = shutil.which("qemu-img")
    if program is None:
        raise _unavailable("The server has no qemu-img (package qemu-utils).")
    process = await asyncio.create_subprocess_exec(
        *(*_limits(processor_s, file_bytes), program, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, errors, status = await asyncio.gather(
                _beginning(process.stdout), _beginning(process.stderr), process.wait()
            )
    except TimeoutError as error:
        raise _unavailable("qemu-img did not finish looking at the image; try again later.") from error
    finally:
        # Also when the request is cancelled: no process is left behind, and its exit is collected.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Outcome(status, output, errors)


def _limits(processor_s: int, file_bytes: int | None) -> tuple[str, ...]:
    limits: tuple[str, ...] = _DIES_WITH_US if shutil.which(_DIES_WITH_US[0]) else ()
    if shutil.which("prlimit"):
        size = () if file_bytes is None else (f"--fsize={file_bytes}",)
        # The second number kills; before that the first one says why (SIGXCPU).
        processor = f"--cpu={processor_s}:{processor_s + 5}"
        limits += ("prlimit", processor, f"--as={MEMORY_BYTES}", "--nofile=64", "--core=0", *size, "--")
    return limits


async def _beginning(stream: asyncio.StreamReader | None) -> str:
    kept = bytearray()
    while stream is not None and (data := await stream.read(MAX_TEXT_BYTES)):
        kept += data[: MAX_TEXT_BYTES - len(kept)]
    return kept.decode(errors="replace")


def form_of(facts: ImageFacts) -> str:
    """The format as QEMU says it. Always given: a raw file into which a guest wrote a qcow2 header stays raw."""
    return "qcow2" if facts.format is ImageFormat.QCOW2 else "raw"


async def confirm(path: Path, facts: ImageFacts, *, timeout_s: float = TIMEOUT_S) -> int:
    """Let ``qemu-img`` look at a file that ``examine`` passed; the virtual size in bytes as QEMU sees it.

    Raises:
        ParcelaError: ``invalid`` ``image_unreadable`` when QEMU cannot read it or reads something else;
            ``unavailable`` when there is no ``qemu-img``, or it does not end in time.
    """
    form = form_of(facts)
    found = await run_tool("info", "-f", form, "--output=json", str(path), timeout_s=timeout_s)
    if found.status:
        raise _unreadable(found.errors[:500])
    return _checked(found.output, form)


async def check(path: Path, facts: ImageFacts) -> None:
    """Let ``qemu-img check`` follow the tables of a qcow2 file; other formats have none.

    Clusters that nothing uses (leaks) are no damage: they only take space. The check does not unpack compressed
    clusters, so a file that has some is read from its beginning to its end.

    Raises:
        ParcelaError: ``invalid`` ``image_damaged`` with the first finding; ``unavailable`` as ``confirm``.
    """
    if facts.format is not ImageFormat.QCOW2:
        return
    if await check_foreign(path, form_of(facts)):
        await _read_all(path, form_of(facts), facts.virtual_size_bytes)


async def check_foreign(path: Path, form: str) -> bool:
    """As ``check``, of a file in another format; one without a check passes.

    Args:
        path: of a file whose header was read before, so that it names no other files.
        form: ``qcow2``, ``vmdk``, ``vdi``, ``vhdx`` or ``vhd``.

    Returns:
        Whether it has compressed clusters.
    """
    source = _source(path, form)
    found = await run_tool(
        *("check", "--output=json", "--image-opts", source), timeout_s=CHECK_TIMEOUT_S, processor_s=120
    )
    if found.status not in {0, _LEAKS, _NO_CHECK}:
        raise _failed(found, path, "qemu-img check")
    return '"compressed-clusters"' in found.output


async def _read_all(path: Path, form: str, virtual_bytes: int) -> None:
    """Read a whole disk into nothing."""
    nothing = f"driver=null-co,size={virtual_bytes}"
    found = await run_tool(
        *("convert", "-n", "--image-opts", "--target-image-opts", _source(path, form), nothing),
        timeout_s=CONVERT_TIMEOUT_S,
        processor_s=CONVERT_PROCESSOR_S,
    )
    if found.status:
        raise _failed(found, path, "reading all of it")


def _failed(found: Outcome, path: Path, work: str) -> ParcelaError:
    if found.status == -signal.SIGXCPU:
        return _unavailable("qemu-img did not finish checking the image; is it larger than the server can check?")
    error = damaged(f"{first_finding(found.errors, path)} ({work})")
    error.internal = found.errors[:500]
    return error


async def convert(path: Path, form: str, target: Path, *, most_bytes: int) -> Outcome:
    """Write a disk as qcow2 into a file that is there.

    Args:
        path: as of ``check_foreign``.
        form: likewise.
        target: is overwritten.
        most_bytes: how long it may become; the outcome then has the status ``-SIGXFSZ``.

    Raises:
        ParcelaError: ``unavailable`` as ``run_tool``.
    """
    return await run_tool(
        *("convert", "--image-opts", "-O", "qcow2", _source(path, form), str(target)),
        timeout_s=CONVERT_TIMEOUT_S,
        processor_s=CONVERT_PROCESSOR_S,
        file_bytes=most_bytes,
    )


def _source(path: Path, form: str) -> str:
    """A file as an option of QEMU: no driver is probed, and its name is nothing but a name."""
    name = str(path).replace(",", ",,")
    if form == "vhd":  # by its geometry, which QEMU believes else, the end of some disks would be missing
        return f"driver=vpc,force_size_calc=current_size,file.driver=file,file.filename={name}"
    return f"driver={form},file.driver=file,file.filename={name}"


def first_finding(errors: str, path: Path) -> str:
    """The first line that names an error, without the place of the file on the server."""
    lines = [line.strip() for line in errors.replace(f"'{path}'", "the file").splitlines() if line.strip()]
    findings = [line for line in lines if line.startswith("ERROR")] or lines or ["no finding was printed"]
    return findings[0].removeprefix("qemu-img: ").removeprefix("ERROR ").strip()[:300]


def _checked(output: str, form: str) -> int:
    try:
        info: dict[str, Any] = json.loads(output)
        virtual = int(info["virtual-size"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(str(error)) from error
    data: dict[str, Any] = (info.get("format-specific") or {}).get("data") or {}
    if "backing-filename" in info or "full-backing-filename" in info:
        raise refusal("image_has_backing_file", "The image needs another file (a backing file).")
    if data.get("data-file"):
        raise refusal("image_has_data_file", "The image keeps its data in another file.")
    if info.get("encrypted"):
        raise refusal("image_is_encrypted", "The image is encrypted; Parcela cannot open it for a VM.")
    if info.get("format") != form or data.get("corrupt"):
        raise _unreadable(f"{info.get('format')} {data.get('corrupt')}")
    return virtual


def _unreadable(internal: str) -> ParcelaError:
    error = refusal("image_unreadable", "qemu-img cannot read this image; is the file complete?")
    error.internal = internal
    return error


def _unavailable(message: str) -> ParcelaError:
    return ParcelaError(ErrorKind.UNAVAILABLE, "image_check_unavailable", message, retry_after_s=30)
