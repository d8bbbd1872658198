"""``parcela image``."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx2
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find_image, find_project, taken_for
from parcela.cli.declare import SUBJECT, Cli, ForceDelete, Limit, Yes, command, to_change
from parcela.cli.exits import Exit, fail
from parcela.cli.output import size_text, when

app = typer.Typer(no_args_is_help=True, help="Images: what VMs boot.")
ImageRef = Annotated[str, typer.Argument(metavar="IMAGE", help="Id or name of the image."), SUBJECT]
Name = Annotated[str | None, typer.Option(help="Its name; the file's name without ending when left out.")]
Description = Annotated[str, typer.Option(help="A sentence about it.")]
OsType = Annotated[str, typer.Option(help="linux, windows, ...")]
OsVersion = Annotated[str, typer.Option(help="For people, e.g. 'Debian 12'.")]
Public = Annotated[bool, typer.Option("--public", help="Everybody may use it.")]
MinRam = Annotated[int, typer.Option(min=64, help="Least memory of a VM in MiB.")]
MinDisk = Annotated[int, typer.Option(min=1, help="Least disk of a VM in GiB.")]
Project = Annotated[str | None, typer.Option(help="Id or name of the project whose members may use it.")]
Sha256 = Annotated[str | None, typer.Option(help="Digest the file must have, as it is sent.")]
CHUNK_BYTES = 1024 * 1024
UPLOAD_TIMEOUT = httpx2.Timeout(1800.0, connect=5.0)
"""The server looks through the whole file, and converts disks of other hypervisors, before it answers."""
PACKED = (".gz", ".xz")
COLUMNS = (
    ("id", "id"),
    ("name", "name"),
    ("os", lambda row: f"{row['os_type']} {row['os_version']}".strip()),
    ("format", "format"),
    ("file", lambda row: size_text(row["size_bytes"])),
    ("disk", lambda row: size_text(row["virtual_size_bytes"])),
    ("min ram mib", "min_memory_mib"),
    ("visibility", "visibility"),
    ("created", when("created_at")),
)
DETAILS = (
    *COLUMNS,
    ("project", "project_id"),
    ("min disk gib", "min_disk_gib"),
    ("sha256", "sha256"),
    ("uploaded as", "source_format"),
    ("uploaded sha256", "source_sha256"),
    ("description", "description"),
)


@command(app, "list")
def list_images(cli: Cli, limit: Limit = None) -> None:
    """List public images, your own and those of your projects."""
    cli.out.table(cli.api.pages("/images/", limit), COLUMNS, empty="No images.")


@command(app, "show")
def show(cli: Cli, ref: ImageRef) -> None:
    """Show an image."""
    cli.out.record(find_image(cli.api, ref), DETAILS)


@command(app, "upload")
def upload(
    cli: Cli,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A qcow2, raw, ISO, VMDK, VDI, VHDX or VHD file; also as .gz or .xz.")
    ],
    name: Name = None,
    description: Description = "",
    os_type: OsType = "linux",
    os_version: OsVersion = "",
    public: Public = False,
    min_ram: MinRam = 64,
    min_disk: MinDisk = 1,
    sha256: Sha256 = None,
    project: Project = None,
) -> None:
    """Upload an image. Its digest is computed here first, and the server refuses a file that came differently."""
    size = _size_of(file)
    place = _place(cli, project)
    with _progress(cli) as progress:
        bar = progress.add_task("Reading", total=size)
        digest = hashlib.sha256()
        for chunk in _chunks(file, size):
            digest.update(chunk)
            progress.advance(bar, len(chunk))
        if sha256 is not None and digest.hexdigest() != sha256.strip().lower():
            raise fail(
                Exit.INVALID, "sha256_differs", f"{file} has the digest {digest.hexdigest()}, not the one given."
            )
        fields = _fields(name or _stem(file), description, os_type, os_version, public, min_ram, min_disk)
        made = _send(cli, file, size, {**fields, **place, "sha256": digest.hexdigest()}, progress)
    if made["source_sha256"] != digest.hexdigest():
        raise fail(Exit.UNEXPECTED, "sha256_differs", f"The server has image {made['id']} with another digest.")
    cli.out.record(made, DETAILS)


def _send(cli: Cli, file: Path, size: int, fields: Json, progress: Progress) -> Json:
    bar = progress.add_task("Sending", total=size)

    def body() -> Iterator[bytes]:
        progress.reset(bar)
        for chunk in _chunks(file, size):
            yield chunk
            progress.advance(bar, len(chunk))

    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(size),
        "Idempotency-Key": uuid4().hex,
    }
    answer = cli.api.request("POST", "/images/", params=fields, headers=headers, content=body, timeout=UPLOAD_TIMEOUT)
    made: Json = answer.json()
    return made


def _fields(
    name: str, description: str, os_type: str, os_version: str, public: bool, min_ram: int, min_disk: int
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "os_type": os_type,
        "os_version": os_version,
        "visibility": "public" if public else "private",
        "min_memory_mib": min_ram,
        "min_disk_gib": min_disk,
    }


def _stem(file: Path) -> str:
    """``debian-12`` of ``debian-12.qcow2.xz``."""
    return Path(file.stem).stem if file.suffix.lower() in PACKED else file.stem


def _place(cli: Cli, project: str | None) -> Json:
    return {} if project is None else {"project_id": find_project(cli.api, project)["id"]}


def _size_of(file: Path) -> int:
    try:
        if not file.is_file():
            raise fail(Exit.USAGE, "file_unreadable", f"{file} is no file.")
        return file.stat().st_size
    except OSError as error:
        raise fail(Exit.USAGE, "file_unreadable", f"{file} cannot be read: {error.strerror}") from error


def _chunks(file: Path, size: int) -> Iterator[bytes]:
    """Exactly ``size`` bytes; a file that changes while it is read is an error."""
    left = size
    try:
        with file.open("rb") as stream:
            while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise fail(Exit.USAGE, "file_unreadable", f"{file} cannot be read: {error.strerror}") from error
    if left:
        raise fail(Exit.USAGE, "file_changed", f"{file} became shorter while it was read.")


def _progress(cli: Cli) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=cli.out.stderr,
        disable=cli.out.as_json or not cli.out.stderr.is_terminal,
    )


@command(app, "import")
def import_file(
    cli: Cli,
    path: Annotated[str, typer.Argument(help="Absolute path on the server, below DATA_DIR/import.")],
    name: Name = None,
    description: Description = "",
    os_type: OsType = "linux",
    os_version: OsVersion = "",
    public: Public = False,
    min_ram: MinRam = 64,
    min_disk: MinDisk = 1,
    sha256: Sha256 = None,
    project: Project = None,
) -> None:
    """Make an image of a file that is on the server already; it is copied."""
    fields = _fields(name or _stem(Path(path)), description, os_type, os_version, public, min_ram, min_disk)
    body = {**fields, **_place(cli, project), "path": path, "sha256": sha256}
    headers = {"Idempotency-Key": uuid4().hex}
    answer = cli.api.request("POST", "/images/import", json=body, headers=headers, timeout=UPLOAD_TIMEOUT)
    cli.out.record(answer.json(), DETAILS)


@command(app, "set")
def change(
    cli: Cli,
    ref: ImageRef,
    name: Annotated[str | None, typer.Option(help="New name; templates and VMs keep to the image.")] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.")] = None,
    os_type: Annotated[str | None, typer.Option(help="linux, windows, ...")] = None,
    os_version: Annotated[str | None, typer.Option(help="For people, e.g. 'Debian 12'.")] = None,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Whether everybody may use it.")] = None,
    min_ram: Annotated[int | None, typer.Option(min=64, help="Least memory of a VM in MiB.")] = None,
    min_disk: Annotated[int | None, typer.Option(min=1, help="Least disk of a VM in GiB.")] = None,
) -> None:
    """Rename an image, or change what is said of it; its file stays."""
    body = to_change(
        "; 'parcela image set --help' lists it.",
        name=name,
        description=description,
        os_type=os_type,
        os_version=os_version,
        visibility=None if public is None else "public" if public else "private",
        min_memory_mib=min_ram,
        min_disk_gib=min_disk,
    )
    found = find_image(cli.api, ref)
    cli.out.record(cli.api.change("PATCH", f"/images/{found['id']}", body), DETAILS)


@command(app, "delete")
def delete(cli: Cli, ref: ImageRef, yes: Yes = False, force: ForceDelete = False) -> None:
    """Remove an image that no VM and no template uses."""
    image = find_image(cli.api, ref)
    cli.sure(f"Delete the image {image['id']} '{image['name']}'?", yes=yes, told=taken_for("image", ref, image))
    cli.api.change("DELETE", f"/images/{image['id']}", force="true" if force else None)
    cli.out.result(image, f"Image {image['id']} '{image['name']}' is deleted.")
