from ipaddress import IPv4Network
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("libvirt")

from parcela.hypervisors.libvirt.names import BridgeMark, bridge_name, domain_name, nat_bridge_name, tap_name
from parcela.hypervisors.libvirt.xml.disk import Disk
from parcela.hypervisors.libvirt.xml.domain import DirectKernel, Domain, without_cpu_limit
from parcela.hypervisors.libvirt.xml.interface import Interface, Plug
from parcela.hypervisors.libvirt.xml.metadata import Metadata, to_text
from parcela.hypervisors.libvirt.xml.network import NatNetwork, dnsmasq_options, reverse_zones
from parcela.hypervisors.spec import SegmentKind

VM = UUID("11111111-2222-3333-4444-555555555555")
HOSTILE = [
    "plain",
    "<&>'\"",
    "</name><devices/>",
    "]]>",
    "new\nline\tand\rreturn",
    "nul\x00 bell\x07",
    "half \ud800 surrogate",
    "ñandú 机器 🚀",
    "--><!-- x",
    "../../etc/passwd",
    "",
]


def make_domain(metadata: Metadata, *, limit_cpu: bool = True, kernel: DirectKernel | None = None) -> Domain:
    return Domain(
        name="pcl-vm-11111111",
        uuid=VM,
        metadata=metadata,
        kvm=False,
        vcpus=3,
        memory_mib=256,
        limit_cpu=limit_cpu,
        kernel=kernel,
        disks=(Disk("/d/disk.qcow2", "qcow2", "vda", boot_order=1, base_path="/i/base.raw", base_format="raw"),),
        interfaces=(Interface("52:54:00:00:00:01", Plug.ETHERNET, "pcb1", "pct1", mtu=1400),),
        serial_log="/d/serial.log",
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_metadata_survives_whatever_people_call_things(text: str) -> None:
    metadata = Metadata("inst", uuid4(), text, text)
    written = to_text(make_domain(metadata).element())
    assert ET.fromstring(written).findtext("uuid") == str(VM)  # noqa: S314 - our own
    read = Metadata.find(written)
    assert read is not None
    assert (read.installation, read.slice_uuid) == (metadata.installation, metadata.slice_uuid)
    if text.isprintable():
        assert (read.vm, read.owner) == (text, text)
    # As libvirt hands out the element alone: without its namespace.
    alone = Metadata.find(f'<vm installation="i" slice="{metadata.slice_uuid}" vm="x" owner="y"/>')
    assert alone == Metadata("i", metadata.slice_uuid, "x", "y")


@pytest.mark.parametrize(
    "text", ["<domain/>", "<vm/>", '<domain><metadata><vm xmlns="urn:other" installation="i"/></metadata></domain>']
)
def test_strangers_metadata_is_not_ours(text: str) -> None:
    found = Metadata.find(text)
    assert found is None or found.installation == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_domain_names_are_safe(text: str) -> None:
    name = domain_name(text, VM)
    assert name.startswith("pcl-")
    assert name.endswith("-11111111")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert len(name) <= 60


def test_domain_holds_what_was_asked_for() -> None:
    domain = make_domain(Metadata("inst"), kernel=DirectKernel("/i/k", "/i/r", "console=ttyS0 a<b")).element()
    assert domain.get("type") == "qemu"
    assert domain.findtext("memory") == "256"
    assert domain.findtext("cputune/global_quota") == "300000"
    assert domain.findtext("os/cmdline") == "console=ttyS0 a<b"
    assert domain.find("cpu") is None
    ports = [c for c in domain.iterfind("devices/controller") if c.get("model") == "pcie-root-port"]
    assert len(ports) == 12
    nic = domain.find("devices/interface")
    assert nic is not None
    assert nic.find("rom[@enabled='no']") is not None
    assert nic.find("mtu[@size='1400']") is not None
    assert domain.find("devices/serial/log[@append='off']") is not None
    assert domain.find("devices/graphics/listen[@type='socket']") is not None
    assert domain.find("devices/disk/backingStore/backingStore") is not None
    assert domain.findtext("on_crash") == "destroy"


def test_disk_boot_gets_a_cpu_that_todays_systems_run_on() -> None:
    cpu = make_domain(Metadata("inst")).element().find("cpu")
    assert cpu is not None
    assert cpu.get("mode") == "maximum"


def test_cpu_limit_can_be_taken_out_again() -> None:
    text = to_text(make_domain(Metadata("inst", uuid4(), "ñ<", "o")).element())
    without = without_cpu_limit(text)
    assert without is not None
    assert "cputune" not in without
    assert Metadata.find(without) == Metadata.find(text)
    assert without_cpu_limit(without) is None


def test_udp_cards_get_their_mtu_by_an_override() -> None:
    card = Interface("52:54:00:00:00:01", Plug.UDP, ports=(20000, 20001), mtu=1400, alias="ua-nic0")
    assert card.element().find("mtu") is None
    source = card.element().find("source")
    assert source is not None
    assert (source.get("address"), source.get("port")) == ("127.0.0.1", "20001")
    domain = Domain("n", VM, Metadata("i"), False, 1, 128, False, None, (), (card,), "/log")
    assert 'name="host_mtu"' in to_text(domain.element())


def nat_network(subnet: str, mtu: int = 1500) -> NatNetwork:
    return NatNetwork("pcl-nat", VM, "pcn1", IPv4Network(subnet), mtu, Metadata("inst"), "/hosts", "10m")


def test_nat_network() -> None:
    network = nat_network("10.231.0.0/20").element()
    address = network.find("ip")
    assert address is not None
    assert (address.get("address"), address.get("netmask")) == ("10.231.0.1", "255.255.240.0")
    assert Metadata.find(to_text(network)) == Metadata("inst")
    assert network.find("ip/dhcp") is None, "a range gives anybody any number of addresses"
    dns = network.find("dns")
    assert dns is not None
    assert dns.get("forwardPlainNames") == "no"
    options = dnsmasq_options(ET.fromstring(to_text(network)))  # noqa: S314 - our own
    assert options >= {
        "no-hosts",
        "dhcp-ignore-names",
        "dhcp-range=10.231.0.0,static,255.255.240.0,10m",
        "dhcp-hostsfile=/hosts",
    }
    assert not any("mtu" in option for option in options)
    assert "dhcp-option=option:mtu,1400" in nat_network("10.231.0.0/20", 1400).options()


@pytest.mark.parametrize(
    ("subnet", "zones"),
    [
        ("10.231.4.0/23", ["4.231.10.in-addr.arpa", "5.231.10.in-addr.arpa"]),
        ("192.168.7.64/28", ["7.168.192.in-addr.arpa"]),
        ("172.16.0.0/15", ["16.172.in-addr.arpa", "17.172.in-addr.arpa"]),
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
    ],
)
def test_names_of_the_guests_addresses_are_asked_of_nobody(subnet: str, zones: list[str]) -> None:
    assert reverse_zones(IPv4Network(subnet)) == zones
    (local,) = [option for option in nat_network(subnet).options() if option.startswith("local=")]
    assert local == f"local=/localhost/{'/'.join(zones)}/"


def test_interface_names_fit_the_kernel() -> None:
    for name in (bridge_name("inst", VM), nat_bridge_name("inst"), tap_name(VM, 12)):
        assert len(name) <= 15


@pytest.mark.parametrize("slice_uuid", [None, VM])
def test_bridge_marks_round_trip(slice_uuid: UUID | None) -> None:
    mark = BridgeMark("inst", SegmentKind.LAN, uuid4(), slice_uuid)
    assert BridgeMark.parse(mark.alias()) == mark
    assert len(mark.alias()) < 256


@pytest.mark.parametrize("alias", [None, "", "docker", "parcela:x", "parcela:i:edge:no-uuid:-", "other:i:edge:x:y"])
def test_strangers_bridges_have_no_mark(alias: str | None) -> None:
    assert BridgeMark.parse(alias) is None
