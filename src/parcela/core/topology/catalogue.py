"""What the lab offers, as a snapshot: flavours and images, by name. Rules read this instead of a database."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

MAX_NAMED = 20
"""Names that a sentence lists; the others are counted."""


def listed(names: Iterable[str]) -> str:
    """The end of a sentence about something that is not there: what there is instead."""
    known = sorted(names)
    if not known:
        return "there is none at all."
    rest = len(known) - MAX_NAMED
    return f"there are: {', '.join(known[:MAX_NAMED])}{f' and {rest} more' if rest > 0 else ''}."


@dataclass(frozen=True, slots=True)
class FlavourInfo:
    """A named size.

    Attributes:
        id: key of its row.
        name: as templates write it.
        vcpus: number of virtual processors.
        memory_mib: memory in MiB.
        disk_gib: disk in GiB.
    """

    id: int
    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image and what it needs at least.

    Attributes:
        id: key of its row.
        name: as templates write it.
        min_memory_mib: least memory in MiB.
        min_disk_gib: least disk in GiB by decision of who uploaded it.
        virtual_size_gib_rounded_up: size of the disk inside the image in GiB; an overlay cannot be smaller.
    """

    id: int
    name: str
    min_memory_mib: int = 64
    min_disk_gib: int = 1
    virtual_size_gib_rounded_up: int = 1

    @property
    def least_disk_gib(self) -> int:
        """Smallest disk in GiB that a VM of this image may have."""
        return max(self.min_disk_gib, self.virtual_size_gib_rounded_up)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What *this caller* may use.

    Attributes:
        flavours: by their exact name.
        images: by their exact name.
        nat_networks: ranges from which a host takes the network of ``public_access``; all count, because which one a
            host has is known only there.
    """

    flavours: Mapping[str, FlavourInfo] = field(default_factory=dict)
    images: Mapping[str, ImageInfo] = field(default_factory=dict)
    nat_networks: tuple[IPv4Network, ...] = ()
