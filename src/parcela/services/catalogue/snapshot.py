"""What a caller may use, as the pure rules of ``core.topology`` want it."""

from collections.abc import Mapping
from ipaddress import IPv4Network

from parcela.core.topology.catalogue import Catalogue, FlavourInfo, ImageInfo
from parcela.hypervisors.spec import ImageFormat
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.image_files.image_files import ImageFacts
from parcela.services.catalogue.image_rights import visible_to
from parcela.services.catalogue.images import least_disk_gib


async def load_catalogue(uow: ReadUnitOfWork, caller: Caller, nat_networks: tuple[IPv4Network, ...] = ()) -> Catalogue:
    """All flavours, and the images that the caller may use, as they are now.

    Args:
        uow: where to read.
        caller: who asks.
        nat_networks: ranges that no address of a template may be from.
    """
    images = {
        row["name"]: ImageInfo(
            id=row["id"],
            name=row["name"],
            min_memory_mib=row["min_memory_mib"],
            min_disk_gib=row["min_disk_gib"],
            virtual_size_gib_rounded_up=least_disk_gib(
                ImageFacts(ImageFormat(row["format"]), row["virtual_size_bytes"])
            ),
        )
        for row in await uow.images.usable(visible_to(caller))
    }
    return Catalogue(flavours=await load_flavours(uow), images=images, nat_networks=nat_networks)


async def load_flavours(uow: ReadUnitOfWork) -> Mapping[str, FlavourInfo]:
    """All flavours by name."""
    rows = await uow.flavours.all()
    return {row.name: FlavourInfo(row.id, row.name, row.vcpus, row.memory_mib, row.disk_gib) for row in rows}
