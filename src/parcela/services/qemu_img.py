"""``qemu-img info`` as a second opinion on an image file."""

import asyncio
import contextlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.hypervisors.spec import ImageFormat
from parcela.services.image_files import ImageFacts, refusal

TIMEOUT_S: Final = 60.0
_LIMITS: Final = ("prlimit", "--cpu=30", "--as=2147483648", "--nofile=64", "--core=0", "--")


async def confirm(path: Path, facts: ImageFacts, *, timeout_s: float = TIMEOUT_S) -> int:
    """Let ``qemu-img`` look at a file that ``examine`` passed; the virtual size in bytes as QEMU sees it.

    The format is forced, so that a raw file whose guest wrote a qcow2 header into it is never probed into one.

    Raises:
        ParcelaError: ``invalid`` ``image_unreadable`` when QEMU cannot read it or reads something else;
            ``unavailable`` when there is no ``qemu-img``, or it does not end in time.
    """
    form = "qcow2" if facts.format is ImageFormat.QCOW2 else "raw"
    program = shutil.which("qemu-img")
    if program is None:
        raise _unavailable("The server has no qemu-img (package qemu-utils).")
    process = await asyncio.create_subprocess_exec(
        *(_LIMITS if shutil.which(_LIMITS[0]) else ()),
        *(program, "info", "-f", form, "--output=json", str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise _unavailable("qemu-img did not finish looking at the image; try again later.") from error
    finally:
        # Also when the request is cancelled: no process is left behind, and its exit is collected.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise _unreadable(errors.decode(errors="replace")[:500])
    return _checked(output, form)


def _checked(output: bytes, form: str) -> int:
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
