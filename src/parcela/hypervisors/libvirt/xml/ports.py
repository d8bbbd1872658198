"""The taps of a domain, read back from its definition, and definitions of before we made the taps ourselves."""

from xml.etree import ElementTree as ET

from parcela.hypervisors.libvirt.names import TAP_PREFIX, nat_bridge_name
from parcela.hypervisors.libvirt.taps import Port
from parcela.hypervisors.libvirt.xml.metadata import NAMESPACE, Metadata, Plugged, to_text


def read_ports(text: str) -> tuple[Port, ...]:
    """The taps that a domain needs before it can start.

    Args:
        text: the inactive definition, as libvirtd wrote it.
    """
    root = ET.fromstring(text)  # noqa: S314 - written by libvirtd
    metadata = Metadata.find(text)
    plugged = {} if metadata is None else {port.tap: port for port in metadata.plugged}
    found = []
    for interface in root.iterfind("devices/interface"):
        tap = _tap(interface)
        if not tap:
            continue
        into = plugged.get(tap, Plugged(tap, ""))
        mac, mtu = interface.find("mac"), interface.find("mtu")
        address = "" if mac is None else mac.get("address", "")
        mtu_bytes = 1500 if mtu is None else int(mtu.get("size", "1500"))
        found.append(Port(tap, address.lower(), into.bridge, mtu_bytes, into.isolated))
    return tuple(found)


def with_own_taps(text: str, installation: str) -> str | None:
    """Rewrite a definition whose taps libvirt would make; None when there is nothing to rewrite."""
    root = ET.fromstring(text)  # noqa: S314 - written by libvirtd
    mark = root.find(f"metadata/{{{NAMESPACE}}}vm")
    old = [interface for interface in root.iterfind("devices/interface") if _is_old(interface)]
    if mark is None or not old:
        return None
    for interface in old:
        target, source, port = interface.find("target"), interface.find("source"), interface.find("port")
        if target is None:
            continue
        bridge = "" if source is None else source.get("bridge", nat_bridge_name(installation))
        if bridge:
            isolated = port is not None and port.get("isolated") == "yes"
            mark.append(Plugged(target.get("dev", ""), bridge, isolated).element())
        for child in (source, port):
            if child is not None:
                interface.remove(child)
        interface.set("type", "ethernet")
        target.set("managed", "no")
    return to_text(root)


def _tap(interface: ET.Element) -> str:
    """Name of the interface's tap when it is one of ours, else ""."""
    target = interface.find("target")
    name = "" if target is None else target.get("dev", "")
    return name if name.startswith(TAP_PREFIX) else ""


def _is_old(interface: ET.Element) -> bool:
    target = interface.find("target")
    return bool(_tap(interface)) and target is not None and target.get("managed") != "no"
