"""Copies of images on a simulated host."""

from parcela.hypervisors.simulated.calls import HostCalls
from parcela.hypervisors.spec import ImageCopy


class SimulatedCopies(HostCalls):
    """See ``ImageCopies`` in ``hypervisors.driver``."""

    async def image_copies(self) -> tuple[ImageCopy, ...]:
        """See ImageCopies."""
        async with self._call("image_copies", 0.0):
            return tuple(ImageCopy(sha256, sha256, 0, self._age_s(sha256)) for sha256 in sorted(self._host.images))

    async def remove_image_copy(self, name: str, *, min_age_s: float) -> bool:
        """See ImageCopies."""
        async with self._call("remove_image_copy", 0.0):
            if name not in self._host.images:
                return True
            used = any(vm.spec.image.sha256 == name for vm in self._host.vms.values())
            if used or self._age_s(name) < min_age_s:
                return False
            self._host.images.discard(name)
            self._host.images_used_at.pop(name, None)
            return True

    def _age_s(self, sha256: str) -> float:
        used_at = self._host.images_used_at.get(sha256)
        return float("inf") if used_at is None else self._world.timing.clock() - used_at
