"""Images on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field

from parcela.api.schemas.common import Body, Schema
from parcela.api.schemas.flavours import MAX_ROW_ID, Description, DiskGib, MemoryMib, left_out
from parcela.services.catalogue.images import NewImage
from parcela.services.catalogue.rules import IMAGE_NAME_PATTERN, MAX_IMAGE_NAME_CHARS, OS_TYPE_PATTERN, TEXT_PATTERN

Visibility = Literal["public", "private"]
ImageName = Annotated[str, Field(min_length=1, max_length=MAX_IMAGE_NAME_CHARS, pattern=IMAGE_NAME_PATTERN)]
OsType = Annotated[str, Field(min_length=1, max_length=32, pattern=OS_TYPE_PATTERN)]
OsVersion = Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$", description="Digest that the uploaded file must have")]


class ImageFields(Body):
    """What people say of a new image."""

    name: Annotated[ImageName, Field(examples=["debian-12"])]
    description: Description = ""
    os_type: Annotated[OsType, Field(examples=["linux"])] = "linux"
    os_version: Annotated[OsVersion, Field(examples=["Debian 12"])] = ""
    visibility: Visibility = "private"
    min_memory_mib: MemoryMib = 64
    min_disk_gib: Annotated[DiskGib, Field(description="Raised to the size of the disk in the image")] = 1
    sha256: Sha256 | None = None
    project_id: Annotated[int, Field(ge=1, le=MAX_ROW_ID)] | None = Field(
        default=None, description="Project whose members may use it, and whose quota counts it instead of yours"
    )

    def to_new_image(self) -> NewImage:
        """As the service takes it."""
        return NewImage(**self.model_dump(include=set(ImageFields.model_fields)))


ImageQuery = Annotated[ImageFields, Query()]


class ImageImport(ImageFields):
    """An image that is already a file on the server."""

    path: str = Field(
        min_length=1,
        max_length=4096,
        pattern=TEXT_PATTERN,
        description="Absolute path of a regular file below `<data_dir>/import`; superusers may name any file",
        examples=["/var/lib/parcela/import/debian-12.qcow2"],
    )


class ImageUpdate(Body):
    """What to change of an image; its file never changes."""

    name: ImageName = left_out()
    description: Description = left_out()
    os_type: OsType = left_out()
    os_version: OsVersion = left_out()
    visibility: Visibility = left_out()
    min_memory_mib: MemoryMib = left_out()
    min_disk_gib: DiskGib = left_out()


class ImageRead(Schema):
    """An image."""

    id: int = Field(examples=[3])
    name: str = Field(examples=["debian-12"])
    description: str
    os_type: str = Field(examples=["linux"])
    os_version: str = Field(examples=["Debian 12"])
    format: Literal["qcow2", "raw", "iso"]
    sha256: str = Field(description="Digest of the file that is stored")
    source_sha256: str = Field(
        description="Digest of the file that was uploaded; another one when it was unpacked or converted"
    )
    source_format: str = Field(
        description="What was uploaded: qcow2, raw, iso, vmdk, vdi, vhdx or vhd, and how it was packed (gz, xz)",
        examples=["qcow2", "vmdk", "raw.xz"],
    )
    size_bytes: int = Field(description="Length of the file that is stored")
    virtual_size_bytes: int = Field(description="Size of the disk a guest sees")
    min_memory_mib: int
    min_disk_gib: int
    visibility: Visibility
    owner_id: int | None = Field(description="Who uploaded it; null for the bundled image")
    project_id: int | None = Field(description="Project it is in; null for none")
    ready_marker: str | None = Field(description="What the guest prints on its serial line when it is ready")
    created_at: datetime
