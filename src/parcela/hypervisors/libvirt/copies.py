"""Copies of images on the host: which there are, and removing those that nothing on the host needs."""

from pathlib import Path

import libvirt

from parcela.hypervisors.libvirt.context import HostContext
from parcela.hypervisors.libvirt.failures import is_code
from parcela.hypervisors.libvirt.imagefiles import list_copies, remove_copy
from parcela.hypervisors.spec import ImageCopy


class CopyActions:
    """``ImageCopies`` of the driver."""

    _host: HostContext

    async def image_copies(self) -> tuple[ImageCopy, ...]:
        """See ``ImageCopies.image_copies``."""
        return await self._host.store.run("list the copies of images", lambda: list_copies(self._host.layout))

    async def remove_image_copy(self, name: str, *, min_age_s: float) -> bool:
        """See ``ImageCopies.remove_image_copy``."""
        host = self._host
        path = host.layout.images / name
        if path.parent != host.layout.images or name in {"", ".", "..", ".lock"}:
            raise ValueError(name)
        if await host.watch.run("look whether a VM needs an image", lambda c: is_in_a_domain(c, path)):
            return False
        return await host.store.run(f"remove image {name[:12]}", lambda: remove_copy(host.layout, path, min_age_s))


def is_in_a_domain(connection: libvirt.virConnect, path: Path) -> bool:
    """Whether a domain of the host names the file, ours or not, as it runs or as it will be started."""
    for domain in connection.listAllDomains():
        try:
            if any(str(path) in domain.XMLDesc(flags) for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)):
                return True
        except libvirt.libvirtError as error:
            if not is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
                raise
    return False
