"""The seed: a small ISO from which a guest reads who it is.

It is a NoCloud seed (volume label ``cidata``: ``meta-data``, ``user-data``, ``network-config``) for images with
cloud-init, plus ``parcela.conf`` for the bundled guest, which has no YAML parser.
"""

import io
import json
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from uuid import UUID

import pycdlib

from parcela.hypervisors.spec import GuestConfig, NicSpec

VOLUME_LABEL = "cidata"
MAX_USER_DATA_BYTES = 64 * 1024


def build_seed_iso(vm_uuid: UUID, guest: GuestConfig, nics: Sequence[NicSpec]) -> bytes:
    """Build the ISO.

    Args:
        vm_uuid: becomes the instance id.
        guest: what the guest is told.
        nics: in guest order.

    Returns:
        An ISO 9660 image with Rock Ridge and Joliet names, about 60 KiB.

    Raises:
        ValueError: a value would not survive in the seed (a line break in a key, a bad address, too long a script).
    """
    return pack_iso(build_seed_files(vm_uuid, guest, nics))


def build_seed_files(vm_uuid: UUID, guest: GuestConfig, nics: Sequence[NicSpec]) -> dict[str, bytes]:
    """Name -> content of the seed's files; the arguments and errors are those of ``build_seed_iso``."""
    hostname = _line("hostname", guest.hostname)
    keys = tuple(_line("SSH key", key) for key in guest.ssh_keys)
    meta = {"instance-id": str(vm_uuid), "local-hostname": hostname, "public-keys": list(keys)}
    return {
        # JSON is YAML: nothing a hostile value could break out of.
        "meta-data": _document(meta),
        "user-data": _user_data(guest, hostname, keys),
        "network-config": _document(_network_config(guest, nics)),
        "parcela.conf": _parcela_conf(guest, hostname, keys, nics),
    }


def pack_iso(files: Mapping[str, bytes]) -> bytes:
    """Put files into an ISO image labelled ``cidata``."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=VOLUME_LABEL)
    try:
        for index, (name, content) in enumerate(files.items()):
            iso.add_fp(io.BytesIO(content), len(content), f"/F{index}.;1", rr_name=name, joliet_path=f"/{name}")
        out = io.BytesIO()
        iso.write_fp(out)
    finally:
        iso.close()
    return out.getvalue()


def _document(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _line(what: str, value: str) -> str:
    """Refuse what would begin a new line in ``parcela.conf`` or end the text for a C reader."""
    if not value.isprintable():
        raise ValueError(f"{what} holds a line break or control character")
    return value.strip()


def _user_data(guest: GuestConfig, hostname: str, keys: tuple[str, ...]) -> bytes:
    if guest.user_data is not None:
        data = guest.user_data.encode()
        if len(data) > MAX_USER_DATA_BYTES:
            raise ValueError(f"user data has {len(data)} bytes, more than {MAX_USER_DATA_BYTES}")
        if not guest.user_data.startswith(("#!", "#cloud-config")):
            raise ValueError("user data must start with #! or #cloud-config")
        # The keys travel in meta-data, so they arrive whatever the person's own document says.
        return data
    config: dict[str, object] = {"hostname": hostname, "manage_etc_hosts": True}
    if keys:
        config["ssh_authorized_keys"] = list(keys)
    return b"#cloud-config\n" + _document(config)


def _network_config(guest: GuestConfig, nics: Sequence[NicSpec]) -> dict[str, object]:
    """Netplan-like version 2, matched by MAC: names of interfaces differ between images."""
    ethernets: dict[str, object] = {}
    dns = [str(IPv4Address(address)) for address in guest.dns]
    for index, nic in enumerate(nics):
        card: dict[str, object] = {"match": {"macaddress": _line("MAC", nic.mac)}, "optional": True, "mtu": nic.mtu}
        card["dhcp4"] = nic.dhcp
        card["dhcp6"] = False
        routes: list[dict[str, str]] = []
        if nic.address is not None and not nic.dhcp:
            interface = IPv4Interface(nic.address)
            card["addresses"] = [interface.with_prefixlen]
            if guest.gateway is not None and IPv4Address(guest.gateway) in interface.network:
                routes.append({"to": "0.0.0.0/0", "via": str(IPv4Address(guest.gateway))})
            for prefix, via in guest.routes:
                if IPv4Address(via) in interface.network:
                    routes.append({"to": str(IPv4Network(prefix)), "via": str(IPv4Address(via))})
        if routes:
            card["routes"] = routes
        if dns:
            card["nameservers"] = {"addresses": dns}
        ethernets[f"nic{index}"] = card
    return {"version": 2, "ethernets": ethernets}


def _parcela_conf(guest: GuestConfig, hostname: str, keys: tuple[str, ...], nics: Sequence[NicSpec]) -> bytes:
    lines = [f"HOSTNAME={hostname}", *(f"SSH_KEY={key}" for key in keys)]
    for nic in nics:
        mac = _line("MAC", nic.mac)
        if nic.dhcp:
            lines.append(f"NIC={mac},dhcp")
        elif nic.address is not None:
            lines.append(f"NIC={mac},static,{IPv4Interface(nic.address).with_prefixlen}")
        else:
            lines.append(f"NIC={mac},none")
    if guest.gateway is not None:
        lines.append(f"GATEWAY={IPv4Address(guest.gateway)}")
    lines += [f"ROUTE={IPv4Network(prefix)},{IPv4Address(via)}" for prefix, via in guest.routes]
    lines += [f"DNS={IPv4Address(address)}" for address in guest.dns]
    if guest.forward:
        lines.append("FORWARD=1")
    return ("\n".join(lines) + "\n").encode()
