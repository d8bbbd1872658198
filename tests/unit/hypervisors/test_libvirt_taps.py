"""Taps: what a domain says of them, older definitions, and the rules that their frames meet."""

from ipaddress import IPv4Address
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("libvirt")

from parcela.hypervisors.libvirt import firewall
from parcela.hypervisors.libvirt.names import BridgeMark, TapMark, nat_bridge_name
from parcela.hypervisors.libvirt.natguard import MARK, NatPort, NatRules
from parcela.hypervisors.libvirt.taps import Port
from parcela.hypervisors.libvirt.xml.interface import Interface, Plug
from parcela.hypervisors.libvirt.xml.metadata import Metadata, Plugged, to_text
from parcela.hypervisors.libvirt.xml.ports import read_ports, with_own_taps
from parcela.hypervisors.spec import SegmentKind

MAC = "52:54:00:00:00:01"
GATEWAY = IPv4Address("10.231.0.1")
# As libvirtd gave the definitions of the versions before out again.
OLD = """<domain type="qemu"><name>web</name><metadata>
  <parcela:vm xmlns:parcela="https://parcela.dev/xmlns/1" installation="inst" slice="" vm="web" owner="ana"/></metadata>
 <devices>
  <interface type="bridge"><mac address="52:54:00:00:00:01"/><source bridge="pcb00000001"/><target dev="pct00000001"/>
   <mtu size="1400"/><address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0"/></interface>
  <interface type="network"><mac address="52:54:00:00:00:02"/><source network="pcl-nat-00000000"/>
   <target dev="pct00000002"/><model type="virtio"/><mtu size="1500"/><port isolated="yes"/></interface>
  <interface type="ethernet"><mac address="52:54:00:00:00:03"/><target dev="pct00000003"/></interface>
  <interface type="bridge"><mac address="52:54:00:00:00:04"/><source bridge="br0"/><target dev="vnet3"/></interface>
 </devices></domain>"""


def test_a_domain_of_before_gets_taps_of_our_own_and_stays_plugged_in() -> None:
    rewritten = with_own_taps(OLD, "inst")
    assert rewritten is not None
    assert read_ports(rewritten) == (
        Port("pct00000001", "52:54:00:00:00:01", "pcb00000001", 1400),
        Port("pct00000002", "52:54:00:00:00:02", nat_bridge_name("inst"), isolated=True),
        Port("pct00000003", "52:54:00:00:00:03"),
    )
    interfaces = ET.fromstring(rewritten).findall("devices/interface")  # noqa: S314 - our own
    assert [interface.get("type") for interface in interfaces] == ["ethernet"] * 3 + ["bridge"]
    assert interfaces[3].find("source[@bridge='br0']") is not None, "what somebody else has added stays as it is"
    assert interfaces[0].find("address[@bus='0x01']") is not None, "the guest sees the card where it was"
    assert with_own_taps(rewritten, "inst") is None


def test_a_domain_of_today_needs_no_rewriting_and_a_strangers_is_left_alone() -> None:
    card = Interface(MAC, Plug.ETHERNET, "pcb1", "pct1", mtu=9000)
    root = ET.Element("domain")
    metadata = Metadata("inst", uuid4(), "web", "ana", (Plugged("pct1", "pcb1"),))
    ET.SubElement(root, "metadata").append(metadata.element())
    ET.SubElement(root, "devices").append(card.element())
    text = to_text(root)
    assert card.plugged() == Plugged("pct1", "pcb1")
    assert Metadata.find(text) == metadata
    assert (with_own_taps(text, "inst"), read_ports(text)) == (None, (Port("pct1", MAC, "pcb1", 9000),))
    assert with_own_taps(OLD.replace("parcela.dev", "example.org"), "inst") is None


def test_marks_of_taps_and_bridges_are_not_taken_for_each_other() -> None:
    tap = TapMark("inst", uuid4(), MAC)
    bridge = BridgeMark("inst", SegmentKind.EDGE, uuid4(), None)
    assert TapMark.parse(tap.alias()) == tap
    assert (TapMark.parse(bridge.alias()), BridgeMark.parse(tap.alias())) == (None, None)
    for other in (None, "", "uplink", "parcela:inst:tap:x:525400000001", tap.alias()[:-12] + "no-mac"):
        assert TapMark.parse(other) is None


def test_frames_of_private_taps_are_dropped_whatever_they_are() -> None:
    for text in (
        firewall.ruleset("inst", "pcn1", None),
        firewall.ruleset("inst", "pcn1", NatRules("pcn1", GATEWAY, (NatPort("pct1", MAC),))),
    ):
        frames = text.split("\ntable bridge ")[1]
        chain = frames.split(" chain input {")[1].split("}")[0].splitlines()
        assert chain[-2].strip() == f'iifname "pct*" meta mark != {MARK} drop'
        assert not any("accept" in line for line in chain if "policy" not in line)
        packets = text.split(" chain prerouting {")[1].split("}")[0]
        assert 'iifname "pct*" drop' in packets
    assert '"pct1"' in text
