"""The driver contract.

A driver object stands for one host and one *installation* (the id that marks what is ours). It keeps no truth: every
answer comes from the hypervisor, so a driver may be thrown away and made anew at any time, also in the middle of a call
of its predecessor that was killed. All calls are asyncio; blocking libraries run on the driver's own bounded executor.

Common rules for every method:

* **Repeat**: every method is idempotent. A repeat after success changes nothing; a repeat after a failure or a kill in
  the middle continues or starts again and ends in the state after success.
* **Errors**: only those of ``hypervisors.errors``. HostUnreachableError may come from every method.
* **Strangers**: a domain, file, bridge or network that does not carry this installation's mark is never touched.
* VM calls on a VM that does not exist raise FatalDriverError, but for ``remove_vm`` and ``power_off``, which succeed.

The optional abilities are small protocols of their own; ask with ``isinstance`` (they are runtime-checkable).
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable
from uuid import UUID

from parcela.hypervisors.spec import DriverEvent, HostFacts, ImageCopy, ImageSpec, Inventory, SegmentSpec, VmSpec


class Driver(Protocol):
    """Core of every provider: fifteen methods and no more."""

    async def probe(self) -> HostFacts:
        """Say what the host is and has.

        After success: nothing changed, but that the acceleration may have been tried out once and remembered.
        After failure: HostUnreachableError; nothing changed.
        """
        ...

    async def ensure_image(self, image: ImageSpec) -> None:
        """Put the base image (and its kernel and initrd) on the host, read-only, named by its sha256.

        After success: it is there and its digest was checked when it was copied.
        After failure: no file under the final name; FatalDriverError when the digest does not fit.
        """
        ...

    async def ensure_segment(self, segment: SegmentSpec) -> None:
        """Make the layer-2 segment on this host.

        After success: VMs of this host may be plugged into it; nothing else is connected to it.
        After failure: half-made parts are removed, or still carry our mark so that the orphan sweep finds them.
        UnsupportedError when this host cannot have this kind.
        """
        ...

    async def remove_segment(self, uuid: UUID) -> None:
        """Remove the segment from this host; a segment that is not there is fine.

        After failure: RetryableDriverError while a NIC is still plugged in; nothing changed.
        """
        ...

    async def create_vm(self, spec: VmSpec) -> None:
        """Make the VM: overlay disk, seed and definition, switched off. Image and segments must exist.

        After success: ``inventory`` shows it STOPPED (or, on a repeat, whatever it does now: a running VM keeps running
        and an existing disk is kept).
        After failure: any partial VM is removed, or shown by ``inventory`` with ``defined=False``.
        """
        ...

    async def update_vm(self, spec: VmSpec) -> None:
        """Change vCPUs, memory, disk size (larger only), guest configuration and NICs of a switched-off VM.

        After failure: the old definition is still there. FatalDriverError when it is not switched off.
        """
        ...

    async def reset_disk(self, spec: VmSpec) -> None:
        """Replace the overlay (and seed) of a switched-off VM by a fresh one: same UUID, MACs and addresses.

        After success: the next start boots the image as it came.
        After failure: either the old or the new overlay is in place, never none. FatalDriverError when it is running.
        """
        ...

    async def remove_vm(self, uuid: UUID) -> None:
        """Power off and remove the VM with its disk, seed, logs and taps; succeeds when it is already gone.

        After failure: what is left is still shown by ``inventory``.
        """
        ...

    async def start_vm(self, uuid: UUID, *, paused: bool = False) -> None:
        """Switch the VM on (or leave its processors paused); a running VM is left as it is, a paused one resumed.

        After success: the guest runs (is paused, if asked for and newly started); it may still boot: see ReadySignals.
        After failure: it is switched off. VmPausedError as of ``resume``.
        """
        ...

    async def shut_down(self, uuid: UUID, *, timeout_s: float) -> bool:
        """Press the power button (ACPI) and wait; a paused VM is resumed first, so that it can react.

        Returns:
            True when it is off, False when it still runs after ``timeout_s`` seconds (> 0); ``power_off`` then helps.
            False at once when the hypervisor has paused it because of a fault: it would not hear the button.
        """
        ...

    async def power_off(self, uuid: UUID) -> None:
        """Pull the plug; succeeds when it is off or does not exist. After failure: state unknown, see ``inventory``."""
        ...

    async def reboot(self, uuid: UUID) -> None:
        """Restart the guest: ACPI first, hard reset when the guest does not react, or is paused because of a fault.

        FatalDriverError when it is off; VmPausedError as of ``resume``.
        """
        ...

    async def suspend(self, uuid: UUID) -> None:
        """Pause the virtual processors (memory stays); succeeds when paused. FatalDriverError when it is off."""
        ...

    async def resume(self, uuid: UUID) -> None:
        """Continue a paused VM; succeeds when it runs. FatalDriverError when it is off.

        One that was paused because of a fault is looked at for some seconds: VmPausedError when it is paused again.
        """
        ...

    async def inventory(self) -> Inventory:
        """List everything of ours on this host. Cheap (no call into guests), never blocked by one hung guest."""
        ...


@runtime_checkable
class Lifetime(Protocol):
    """Drivers that hold connections, threads or subscriptions."""

    async def open(self) -> None:
        """Connect and begin to watch; an unreachable host is no failure: it is tried again in the background."""
        ...

    async def aclose(self) -> None:
        """Let go of everything; running VMs stay as they are. May be called twice."""
        ...


@runtime_checkable
class VmEvents(Protocol):
    """Drivers that report changes as they happen."""

    def subscribe(self, callback: Callable[[DriverEvent], None]) -> Callable[[], None]:
        """Call ``callback`` on the asyncio loop for every event from now on; returns the unsubscribe function."""
        ...


@runtime_checkable
class ReadySignals(Protocol):
    """Drivers that can tell when a guest has finished booting."""

    async def wait_ready(self, uuid: UUID, marker: str, *, timeout_s: float) -> bool:
        """Wait until the guest has printed ``marker`` on its serial line since it was last started or rebooted.

        Returns:
            True at once when it already did; False after ``timeout_s`` seconds, or when the VM stops meanwhile.
            VmPausedError when the hypervisor pauses it because of a fault.
        """
        ...


class ConsoleStream(Protocol):
    """A byte stream to a console."""

    async def read(self) -> bytes:
        """Wait for bytes (at most 64 KiB); ``b""`` when the console has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the guest does not take them. ConnectionError when it has ended."""
        ...

    async def aclose(self) -> None:
        """End it; may be called twice."""
        ...


class SerialStream(ConsoleStream, Protocol):
    """A serial line that several have open: all read, one of them types."""

    @property
    def has_keyboard(self) -> bool:
        """Whether what is written reaches the guest; else it is dropped."""
        ...

    async def take_keyboard(self, *, force: bool) -> bool:
        """Let this one type; whether it does now. Without ``force`` only when no other does. Safe to repeat."""
        ...


@runtime_checkable
class SerialConsoles(Protocol):
    """Drivers with serial lines."""

    async def open_serial(self, uuid: UUID) -> SerialStream:
        """Open the serial line, after the text printed since power-on (at most the last 64 KiB) is sent first.

        A second opening takes the keyboard; the first goes on reading until the VM is off. FatalDriverError when it is.
        """
        ...


@runtime_checkable
class VncConsoles(Protocol):
    """Drivers with a graphical console."""

    async def open_vnc(self, uuid: UUID) -> ConsoleStream:
        """Open a raw RFB stream (no authentication: our WebSocket ticket is the lock). FatalDriverError when off."""
        ...


@runtime_checkable
class ImageCopies(Protocol):
    """Drivers that keep copies of images on their host."""

    async def image_copies(self) -> tuple[ImageCopy, ...]:
        """List the copies, and what copies that were cut off left."""
        ...

    async def remove_image_copy(self, name: str, *, min_age_s: float) -> bool:
        """Remove a copy, unless something on the host needs it: an overlay or a definition of whoever's VM.

        A copy younger than ``min_age_s`` stays: ``ensure_image`` makes one young, so that ``create_vm`` still finds it.

        Returns:
            Whether it is gone; True when it never was there.
        """
        ...
