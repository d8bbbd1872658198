"""Network card elements: how each kind of segment is plugged in."""

from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree as ET

from parcela.hypervisors.libvirt.xml.metadata import Plugged, leaf


class Plug(StrEnum):
    """libvirt's interface type."""

    UDP = "udp"
    USER = "user"
    ETHERNET = "ethernet"  # a tap that we have made before


@dataclass(frozen=True, slots=True)
class Interface:
    """A virtio network card.

    Attributes:
        mac: lower-case, colon-separated.
        plug: libvirt's type.
        bridge: name of the bridge that the tap is a port of; "" for an unplugged card and for other types.
        tap: name of the host side, or "" where there is none.
        mtu: bytes, told to the guest.
        isolated: the bridge port does not see other isolated ports.
        link_up: False for an unplugged card.
        ports: (local, remote) UDP ports on loopback, for UDP.
        alias: name of the device, needed to override properties of UDP cards.
    """

    mac: str
    plug: Plug
    bridge: str = ""
    tap: str = ""
    mtu: int = 1500
    isolated: bool = False
    link_up: bool = True
    ports: tuple[int, int] | None = None
    alias: str = ""

    def plugged(self) -> Plugged | None:
        """What the tap is plugged into, for the metadata; None where there is nothing to say."""
        return Plugged(self.tap, self.bridge, self.isolated) if self.tap and self.bridge else None

    def element(self) -> ET.Element:
        """``<interface>``."""
        interface = ET.Element("interface", {"type": self.plug.value})
        leaf(interface, "mac", address=self.mac)
        if self.ports is not None:
            source = leaf(interface, "source", address="127.0.0.1", port=str(self.ports[1]))
            leaf(source, "local", address="127.0.0.1", port=str(self.ports[0]))
        if self.tap:
            # Not managed: libvirt opens the tap it finds, and refuses to start without it.
            leaf(interface, "target", dev=self.tap, managed="no")
        leaf(interface, "model", type="virtio")
        if not self.link_up:
            leaf(interface, "link", state="down")
        # libvirt 9 refuses <mtu> on udp and user cards; see Domain for how they get theirs.
        if self.plug is Plug.ETHERNET:
            leaf(interface, "mtu", size=str(self.mtu))
        if self.alias:
            leaf(interface, "alias", name=self.alias)
        # No PXE ROM: it costs memory and a pause at every boot.
        leaf(interface, "rom", enabled="no")
        return interface
