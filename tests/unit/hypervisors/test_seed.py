import io
import json
from uuid import UUID

import pycdlib
import pytest
import yaml

from parcela.hypervisors.seed import build_seed_files, build_seed_iso
from parcela.hypervisors.spec import GuestConfig, NicSpec

VM = UUID("11111111-2222-3333-4444-555555555555")
NICS = (
    NicSpec("52:54:00:00:00:01", None, address="10.0.1.2/24", mtu=1400),
    NicSpec("52:54:00:00:00:02", None, dhcp=True),
    NicSpec("52:54:00:00:00:03", None),
)
GUEST = GuestConfig(
    hostname="web",
    ssh_keys=("ssh-ed25519 AAAA ana@lab", "ssh-rsa BBBB"),
    gateway="10.0.1.1",
    routes=(("10.9.0.0/16", "10.0.1.3"),),
    dns=("9.9.9.9",),
    forward=True,
)


def test_parcela_conf_has_the_lines_the_bundled_guest_reads() -> None:
    text = build_seed_files(VM, GUEST, NICS)["parcela.conf"].decode()
    assert text.splitlines() == [
        "HOSTNAME=web",
        "SSH_KEY=ssh-ed25519 AAAA ana@lab",
        "SSH_KEY=ssh-rsa BBBB",
        "NIC=52:54:00:00:00:01,static,10.0.1.2/24",
        "NIC=52:54:00:00:00:02,dhcp",
        "NIC=52:54:00:00:00:03,none",
        "GATEWAY=10.0.1.1",
        "ROUTE=10.9.0.0/16,10.0.1.3",
        "DNS=9.9.9.9",
        "FORWARD=1",
    ]


def test_cloud_init_gets_the_same_facts() -> None:
    files = build_seed_files(VM, GUEST, NICS)
    meta = yaml.safe_load(files["meta-data"])
    assert meta == {"instance-id": str(VM), "local-hostname": "web", "public-keys": list(GUEST.ssh_keys)}
    user = files["user-data"].decode()
    assert user.startswith("#cloud-config\n")
    assert yaml.safe_load(user)["ssh_authorized_keys"] == list(GUEST.ssh_keys)
    network = yaml.safe_load(files["network-config"])
    assert network["version"] == 2
    first, second, third = network["ethernets"].values()
    assert first["match"] == {"macaddress": "52:54:00:00:00:01"}
    assert first["addresses"] == ["10.0.1.2/24"]
    assert {"to": "0.0.0.0/0", "via": "10.0.1.1"} in first["routes"]
    assert {"to": "10.9.0.0/16", "via": "10.0.1.3"} in first["routes"]
    assert first["mtu"] == 1400
    assert second["dhcp4"] is True
    assert "addresses" not in third
    assert third["dhcp4"] is False


@pytest.mark.parametrize("document", ["#!/bin/sh\necho hi\n", "#cloud-config\npackages: [nginx]\n"])
def test_a_persons_own_document_is_passed_on_as_it_is(document: str) -> None:
    files = build_seed_files(VM, GuestConfig("web", user_data=document, ssh_keys=("ssh-rsa K",)), ())
    assert files["user-data"].decode() == document
    assert json.loads(files["meta-data"])["public-keys"] == ["ssh-rsa K"]


@pytest.mark.parametrize(
    "guest",
    [
        GuestConfig("web\nFORWARD=1"),
        GuestConfig("web", ssh_keys=("ssh-rsa A\nGATEWAY=6.6.6.6",)),
        GuestConfig("web", ssh_keys=("ssh-rsa A\rB",)),
        GuestConfig("web", ssh_keys=("ssh-rsa A\u2028B",)),
        GuestConfig("web", gateway="10.0.0.1\nDNS=6.6.6.6"),
        GuestConfig("web", dns=("localhost",)),
        GuestConfig("web", routes=(("10.0.0.0/8", "via\nX=1"),)),
        GuestConfig("web", routes=(("10.0.0.0/99", "10.0.0.1"),)),
        GuestConfig("web", user_data="echo no shebang"),
        GuestConfig("web", user_data="#!" + "x" * 70_000),
    ],
)
def test_values_that_would_break_out_are_refused(guest: GuestConfig) -> None:
    with pytest.raises(ValueError, match=r".+"):
        build_seed_iso(VM, guest, ())


@pytest.mark.parametrize(
    "nic", [NicSpec("52:54:00:00:00:01\nNIC=x", None), NicSpec("52:54:00:00:00:01", None, address="10.0.0.1/24,x")]
)
def test_nics_that_would_break_out_are_refused(nic: NicSpec) -> None:
    with pytest.raises(ValueError, match=r".+"):
        build_seed_iso(VM, GuestConfig("web"), (nic,))


def test_the_iso_is_a_nocloud_seed() -> None:
    data = build_seed_iso(VM, GUEST, NICS)
    assert data[32808:32814] == b"cidata"  # where the bundled guest looks
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(data))
    try:
        for name, content in build_seed_files(VM, GUEST, NICS).items():
            out = io.BytesIO()
            iso.get_file_from_iso_fp(out, rr_path=f"/{name}")
            assert out.getvalue() == content
    finally:
        iso.close()
