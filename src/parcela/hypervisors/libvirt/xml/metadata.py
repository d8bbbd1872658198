"""Our element in the metadata of domains and networks: whose they are."""

from dataclasses import dataclass
from uuid import UUID
from xml.etree import ElementTree as ET

NAMESPACE = "https://parcela.dev/xmlns/1"
PREFIX = "parcela"

ET.register_namespace(PREFIX, NAMESPACE)


def clean(text: str) -> str:
    """Replace what XML 1.0 cannot hold at all (control characters, surrogates): ElementTree would write it as it is."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000" else "\ufffd"
        for c in text
    )


def to_text(element: ET.Element) -> str:
    """Serialise for libvirt."""
    return ET.tostring(element, encoding="unicode")


def leaf(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    """Append a child with attributes and text, both cleaned."""
    child = ET.SubElement(parent, tag, {key: clean(value) for key, value in attributes.items()})
    if text is not None:
        child.text = clean(text)
    return child


@dataclass(frozen=True, slots=True)
class Plugged:
    """Which bridge a tap is to be a port of: libvirt has no place for it where the tap is not its own.

    Attributes:
        tap: name of the tap.
        bridge: name of the bridge.
        isolated: the port does not see other isolated ports of the bridge.
    """

    tap: str
    bridge: str
    isolated: bool = False

    def element(self) -> ET.Element:
        """``<parcela:port .../>``."""
        isolated = "yes" if self.isolated else "no"
        return ET.Element(f"{{{NAMESPACE}}}port", {"tap": self.tap, "bridge": self.bridge, "isolated": isolated})


@dataclass(frozen=True, slots=True)
class Metadata:
    """Who made a thing and for whom; ``vm`` (its name for people) and ``owner`` are only for people's eyes.

    Attributes:
        installation: id of the installation.
        slice_uuid: of the VM, or None.
        vm: name of the VM.
        owner: username.
        plugged: what its taps are plugged into; taps that are missing are unplugged.
    """

    installation: str
    slice_uuid: UUID | None = None
    vm: str = ""
    owner: str = ""
    plugged: tuple[Plugged, ...] = ()

    def element(self) -> ET.Element:
        """``<parcela:vm .../>``."""
        element = ET.Element(
            f"{{{NAMESPACE}}}vm",
            {
                "installation": clean(self.installation),
                "slice": str(self.slice_uuid or ""),
                "vm": clean(self.vm),
                "owner": clean(self.owner),
            },
        )
        element.extend(plugged.element() for plugged in self.plugged)
        return element

    @classmethod
    def find(cls, text: str) -> "Metadata | None":
        """Read it from the XML of a metadata element, a domain or a network; None when there is none of ours.

        The text comes from libvirtd, which has parsed and written it again itself.
        """
        root = ET.fromstring(text)  # noqa: S314 - see the docstring
        # Asked for the element alone, libvirt gives it without its namespace.
        found = root if root.tag == "vm" else next(root.iter(f"{{{NAMESPACE}}}vm"), None)
        if found is None:
            return None
        slice_text = found.get("slice") or ""
        try:
            slice_uuid = UUID(slice_text) if slice_text else None
        except ValueError:
            return None
        plugged = tuple(
            Plugged(port.get("tap") or "", port.get("bridge") or "", port.get("isolated") == "yes")
            for port in found
            if port.tag in {"port", f"{{{NAMESPACE}}}port"}
        )
        vm, owner = found.get("vm") or "", found.get("owner") or ""
        return cls(found.get("installation") or "", slice_uuid, vm, owner, plugged)
