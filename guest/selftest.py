"""Boots the bundled guest under plain QEMU (no libvirt) and checks what docs/reference/guest.md promises.

Run: python3 guest/selftest.py BUILD_DIR [--debian DISK] [--only PART] [--boots N] [--verbose]

Two guests are joined by a UDP link; one also gets a user-mode network with QEMU's DHCP server. Every wait is a wait for
output, with a deadline; there are no sleeps. The exit status is 0 only when every check passed.
Emulation (TCG) is used on purpose: it works everywhere, and the boot cost printed at the end is that of emulation.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from lab import COMMAND_DEADLINE_S, Guest, Lab, SelfTestError, free_port

BOOT_DEADLINE_S = 120.0
CUT_BYTES = 4 * 1024 * 1024
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5mLqvXkVn0cJ2g3m7Wn3M1o2kzQ3m1s0kq4b1n2c3d selftest"


def check(label: str, passed: bool, seen: object = "") -> None:
    """Reports one check; a failed one ends the run."""
    print(f"{'ok  ' if passed else 'FAIL'}  {label}" + ("" if passed else f": {seen!r}"), flush=True)
    if not passed:
        raise SelfTestError(label)


def is_prompt(name: str) -> str:
    """The pattern of the root prompt in the home directory."""
    return rf"^{name}:~# "


def _mac(number: int) -> str:
    return f"52:54:00:12:34:{number:02x}"


CANARY = "$(touch /run/pwned)`touch /run/pwned`"
CLIENT_CONF = (
    f"# a comment\r\nHOSTNAME=client\r\nSSH_KEY={SSH_KEY}\r\n"
    "NIC=52:54:00:12:34:0B,static,10.0.1.2/24\nNIC=52:54:00:12:34:0a,dhcp\nNIC=52:54:00:12:34:0c,none\n"
    "ROUTE=10.0.7.0/24,10.0.1.254\nDNS=9.9.9.9\nFORWARD=1\n"
    f"NIC={CANARY},static,{CANARY}\nWHAT={CANARY}\n"
)
SERVER_CONF = "HOSTNAME=server\nNIC=52:54:00:12:34:1b,static,10.0.1.254/24\nGATEWAY=10.0.1.2"  # no newline at the end
USER_DATA = "#!/bin/bash\necho user-data saw $(hostname) at $(ip -4 -o addr show eth1 | awk '{print $4}')\n"


def check_pair(lab: Lab) -> None:
    """Two configured guests: every line of parcela.conf, the services, reboot and power-off."""
    udp_a, udp_b = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    http, ssh = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
    link = "socket,udp=127.0.0.1:{},localaddr=127.0.0.1:{}"
    client = lab.guest(
        "client",
        seed={
            "meta-data": "instance-id: c\nlocal-hostname: wrong\n",
            "parcela.conf": CLIENT_CONF,
            "user-data": USER_DATA,
        },
        netdevs=[
            (f"user,hostfwd=tcp:127.0.0.1:{http}-:80,hostfwd=tcp:127.0.0.1:{ssh}-:22", _mac(0xA)),
            (link.format(udp_b, udp_a), f"{_mac(0xB)},host_mtu=1400"),
            ("hubport,hubid=7", _mac(0xC)),
            ("hubport,hubid=8", _mac(0xD)),
        ],
    )
    server = lab.guest("server", seed={"parcela.conf": SERVER_CONF}, netdevs=[(link.format(udp_a, udp_b), _mac(0x1B))])
    ready = client.expect(r"^PARCELA READY host=(\S+)(.*)\n", BOOT_DEADLINE_S)
    check("READY line names the host", ready[1] == "client", ready[0])
    check("READY line lists the addresses", ready[2] == " eth0=10.0.2.15/24 eth1=10.0.1.2/24", ready[0])
    server.expect(r"^PARCELA READY host=server eth0=10.0.1.254/24\n", BOOT_DEADLINE_S)
    for guest in (client, server):
        guest.expect(is_prompt(guest.name))
    check("the serial console logs in by itself", passed=True)

    check_configuration(client)
    check("GATEWAY line", "default via 10.0.1.2 dev eth0" in server.run("ip route"))
    client.run("ping -c 2 -W 5 10.0.1.254")
    server.run("ping -c 2 -W 5 10.0.1.2")
    check("ping both ways over the link", passed=True)
    page = server.run("wget -q -O - http://10.0.1.2/")
    check("http between the guests", "<h1>client</h1>" in page, page)
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/", timeout=COMMAND_DEADLINE_S) as response:
        check("http through a port forward", b"<h1>client</h1>" in response.read())
    key = check_ssh(client, ssh, lab.directory)
    check_reboot(client)
    check("the ssh host key survives a reboot", host_key(ssh, lab.directory) == key)

    for guest in (client, server):
        guest.qmp("system_powerdown")
    for guest in (client, server):
        guest.wait_for_exit()
    check("the ACPI power button powers off", passed=True)


def check_configuration(client: Guest) -> None:
    """What CLIENT_CONF and USER_DATA ask for is so, and nothing else."""
    check("host name", client.run("hostname") == "client\n")
    check("host_mtu reaches the NIC", client.run("cat /sys/class/net/eth1/mtu") == "1400\n")
    flags = client.run("cat /sys/class/net/eth2/flags /sys/class/net/eth3/flags").split()
    check("NICs with 'none' or no line are up", all(int(value, 16) & 1 for value in flags), flags)
    addresses = client.run("ip -4 -o addr show eth2; ip -4 -o addr show eth3")
    check("... and have no address", addresses == "", addresses)
    routes = client.run("ip route")
    check("ROUTE line", "10.0.7.0/24 via 10.0.1.254 dev eth1" in routes, routes)
    check("DHCP brings a default route", "default via 10.0.2.2 dev eth0" in routes, routes)
    check("DNS line wins over DHCP", client.run("cat /etc/resolv.conf") == "nameserver 9.9.9.9\n")
    check("FORWARD line", client.run("cat /proc/sys/net/ipv4/ip_forward") == "1\n")
    check("configuration is never executed", "pwned" not in client.run("ls /run"))
    warned = re.findall(r"PARCELA WARN parcela.conf line (\d+) ignored", client.transcript)
    check("lines that make no sense are reported", warned == ["10", "11"], warned)
    check("SSH_KEY line", client.run("cat /root/.ssh/authorized_keys") == SSH_KEY + "\n")
    log = client.run("cat /run/user-data.log")
    check("user-data ran after the network", log == "user-data saw client at 10.0.1.2/24\n", log)
    motd = client.run("cat /etc/motd")
    check("motd tells the NICs", f"eth1  {_mac(0xB)}  10.0.1.2/24" in motd, motd)
    check("the overlay may be larger than the base", client.run("cat /sys/block/vda/size") == "2097152\n")


def check_reboot(client: Guest) -> None:
    """A reboot with a shell standing in /data keeps what was written and unmounts cleanly."""
    client.run("echo kept > /data/witness")
    client.type_line("cd /data; reboot")
    client.expect(r"^PARCELA READY host=client", BOOT_DEADLINE_S)
    client.expect(is_prompt("client"))
    check("/data survives a reboot", client.run("cat /data/witness") == "kept\n")
    check("/data was unmounted cleanly", "recovery" not in client.run("dmesg"))


def host_key(port: int, directory: Path) -> str:
    """The ed25519 host key behind a forwarded port ("" without ssh-keyscan)."""
    try:
        command = ["ssh-keyscan", "-T", "20", "-t", "ed25519", "-p", str(port), "127.0.0.1"]
        scan = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False, cwd=directory)
    except FileNotFoundError:
        return ""
    return scan.stdout.rpartition(" ")[2]


def new_identity(directory: Path) -> Path:
    """A fresh ssh key pair; the public half lies beside it with the suffix `.pub`."""
    identity = directory / "identity"
    if not identity.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(identity)], check=True)
    return identity


def ssh_command(identity: Path, port: int, user: str) -> list[str]:
    """An ssh command that asks for the host name and uses nothing of the caller's own configuration."""
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}"]
    options += ["-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-i", str(identity), "-p", str(port)]
    return ["ssh", "-F", os.devnull, *options, f"{user}@127.0.0.1", "hostname"]


def check_ssh(client: Guest, port: int, directory: Path) -> str:
    """The ssh server answers, lets a key in and nothing else. Returns the host key."""
    with socket.create_connection(("127.0.0.1", port), timeout=COMMAND_DEADLINE_S) as connection:
        banner = connection.recv(64)
    check("the ssh port answers", banner.startswith(b"SSH-2.0-dropbear"), banner)
    key = host_key(port, directory)
    if not key:
        print("skip  ssh login: no OpenSSH client on this machine")
        return key
    identity = new_identity(directory)
    command = ssh_command(identity, port, "root")
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    check("ssh without a key is refused", refused.returncode == 255 and "denied" in refused.stderr, refused)
    client.run(f"echo '{identity.with_suffix('.pub').read_text().strip()}' >> /root/.ssh/authorized_keys")
    accepted = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    check("ssh with a key logs in", accepted.stdout == "client\n", accepted)
    return key


def check_bare(lab: Lab) -> None:
    """A guest without seed and disk, and one whose DHCP server is missing."""
    bare = lab.guest("bare", netdevs=[("user", _mac(1))], with_disk=False)
    bare.expect(r"^PARCELA READY host=tiny eth0=10.0.2.15/24\n", BOOT_DEADLINE_S)
    check("without a seed: host 'tiny', DHCP on eth0", passed=True)
    bare.expect(is_prompt("tiny"))
    bare.type_line("poweroff")
    bare.wait_for_exit()
    check("poweroff from the shell", passed=True)

    keys = f"#cloud-config\nssh_authorized_keys:\n  - {SSH_KEY}\nruncmd:\n  - touch /run/pwned\n"
    conf = f"HOSTNAME=mute\nNIC={_mac(2)},dhcp\nNIC={_mac(3)},static,10.3.0.1/16\n"
    mute = lab.guest(
        "mute",
        seed={"parcela.conf": conf, "user-data": keys},
        netdevs=[("hubport,hubid=1", _mac(2))],
        extra=["-device", "pcie-root-port,id=spare,chassis=9", "-netdev", "hubport,hubid=2,id=late"],
    )
    mute.expect(r"^PARCELA READY host=mute\n", BOOT_DEADLINE_S)
    mute.expect(is_prompt("mute"))
    up_s = float(mute.run("cut -d' ' -f1 /proc/uptime"))
    check("a NIC without a DHCP server does not hold READY back", up_s < 30, up_s)
    check("... and goes on asking", "udhcpc" in mute.run("ps"))
    check("#cloud-config gives its keys", mute.run("cat /root/.ssh/authorized_keys") == SSH_KEY + "\n")
    check("... and nothing else", "pwned" not in mute.run("ls /run"))
    mute.qmp("device_add", driver="virtio-net-pci", netdev="late", bus="spare", romfile="", mac=_mac(3))
    wait = "until ip -4 -o addr show eth1 2>/dev/null | grep -q 10.3.0.1/16; do usleep 50000; done"
    mute.run(wait)
    check("a hot-plugged NIC is configured too", passed=True)
    mute.stop()


TOOL_LINKS = {
    "vlan": "link eth0 name t-vlan type vlan id 5",
    "bridge": "name t-bridge type bridge vlan_filtering 1",
    "bond": "name t-bond type bond mode 802.3ad",
    "dummy": "name t-dummy type dummy",
    "gretap": "name t-gretap type gretap local 10.9.0.1 remote 10.9.0.2",
    "gre": "name t-gre type gre local 10.9.0.1 remote 10.9.0.2",
    "vxlan": "name t-vxlan type vxlan id 5 dstport 4789 dev eth0",
    "veth": "name t-veth type veth peer name t-peer",
    "vrf": "name t-vrf type vrf table 10",
    "macvlan": "link eth0 name t-macvlan type macvlan mode bridge",
    "ifb": "name t-ifb type ifb",
}


def check_tools(lab: Lab) -> None:
    """The tools of a networking class, used as a student types them, and from a script."""
    udp_a, udp_b = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    link = "socket,udp=127.0.0.1:{},localaddr=127.0.0.1:{}"
    script = "#!/bin/sh\nip link add name t-script type dummy\ntc qdisc add dev t-script root netem delay 1ms\n"
    one = lab.guest(
        "one",
        seed={"parcela.conf": "HOSTNAME=one\n", "user-data": script},
        netdevs=[(link.format(udp_b, udp_a), _mac(0x31))],
    )
    two = lab.guest("two", seed={"parcela.conf": "HOSTNAME=two\n"}, netdevs=[(link.format(udp_a, udp_b), _mac(0x32))])
    for guest in (one, two):
        guest.expect(rf"^PARCELA READY host={guest.name}.*\n", BOOT_DEADLINE_S)
        guest.expect(is_prompt(guest.name))
    check("a script of user-data runs iproute2's ip and tc", one.run("cat /run/user-data.status") == "0\n")
    for shell in ("ip -V", "sh -c 'ip -V'", "bash -c 'ip -V'", "timeout 20 ip -V"):
        version = one.run(shell)
        check(f"{shell}: iproute2", version.startswith("ip utility, iproute2"), version)
    before = one.run("ls /sys/class/net").split()
    for kind, words in TOOL_LINKS.items():
        one.run(f"ip link add {words}")
        check(f"ip link add type {kind}", kind in one.run(f"ip -d link show dev t-{kind}"))
    added = set(one.run("ls /sys/class/net").split()) - {*before, "bonding_masters"}
    check("... and no interface that was not asked for", all(name.startswith("t-") for name in added), added)
    for number, guest in ((1, one), (2, two)):
        guest.run("ip link add link eth0 name v7 type vlan id 7 && ip link set v7 up")
        guest.run(f"ip addr add 10.7.0.{number}/24 dev v7")
    one.run("(ping -c 3 -W 5 10.7.0.2 > /dev/null &)")
    capture = one.run("timeout 20 tcpdump -e -n -c 2 -i eth0 vlan 7 2> /dev/null", 60)
    check("tcpdump sees the tags of a VLAN between two guests", "802.1Q" in capture and "vlan 7" in capture, capture)
    one.run("tc qdisc add dev v7 root netem delay 300ms 10ms distribution normal")
    shown = one.run("tc qdisc show dev v7; ping -c 2 -W 5 10.7.0.2 | tail -1")
    times = re.search(r"= ([0-9.]+)/", shown)
    check("tc delays with netem", times is not None and float(times[1]) > 200, shown)
    one.run("tc qdisc replace dev v7 root tbf rate 1mbit burst 32kbit latency 400ms")
    one.run("tc qdisc del dev v7 root; tc qdisc add dev v7 clsact")
    one.run("tc filter add dev v7 ingress matchall action drop && tc filter del dev v7 ingress")
    one.run("nft add table inet t && nft add chain inet t c '{ type filter hook input priority 0; }'")
    one.run("nft add rule inet t c icmp type echo-request counter drop")
    check("nft filters", "icmp type echo-request" in one.run("nft list ruleset"))
    check("... what the other guest sends", "100% packet loss" in two.run("ping -c 1 -W 2 10.7.0.1 || true"))
    two.run("nft add table ip n && nft add chain ip n p '{ type nat hook postrouting priority srcnat; }'")
    two.run("nft add rule ip n p oifname v7 masquerade")
    two.run("iperf3 -s -D --pidfile /run/iperf3.pid")
    measured = one.run("iperf3 -c 10.7.0.2 -t 1", 60)
    check("iperf3 between the guests", "receiver" in measured, measured)
    for guest in (one, two):
        guest.stop()


def check_incomplete(lab: Lab) -> None:
    """The kernel boots on when it could unpack only a part of the initrd; such a machine must not look healthy."""
    whole = (lab.build / "initrd.gz").read_bytes()
    cut = lab.directory / "cut.initrd"
    cut.write_bytes(whole[: len(whole) - CUT_BYTES])
    guest = lab.guest("cut", seed={"parcela.conf": "HOSTNAME=cut\n"}, initrd=cut)
    guest.expect(r"^PARCELA WARN programs are missing.*\n", BOOT_DEADLINE_S)
    check("a machine without all of its programs says so", passed=True)
    guest.expect(r"^PARCELA READY host=cut.*\n", BOOT_DEADLINE_S)
    guest.expect(is_prompt("cut"))
    check("... to those who log in too", "WARNING: programs are missing" in guest.run("cat /etc/motd"))
    guest.stop()


def measure_boot(lab: Lab, boots: int) -> None:
    """Prints what one boot costs: one NIC with DHCP, seed and disk, nothing else running in QEMU."""
    costs: list[float] = []
    for number in range(boots):
        guest = lab.guest(
            f"cost{number}",
            seed={"parcela.conf": f"HOSTNAME=cost\nNIC={_mac(9)},dhcp\n"},
            netdevs=[("user", _mac(9))],
        )
        guest.expect(r"^PARCELA READY host=cost eth0", BOOT_DEADLINE_S)
        cpu_s, wall_s = guest.cpu_s(), guest.age_s()
        guest.expect(is_prompt("cost"))
        costs.append(cpu_s)
        print(f"boot  {cpu_s:.2f} CPU-s, {wall_s:.2f} s to READY; {guest.resident_mib():.0f} MiB of host memory")
        guest.stop()
    if costs:
        print(f"boot  min {min(costs):.2f} CPU-s, max {max(costs):.2f} CPU-s of {boots} boots")


def check_debian(lab: Lab, disk: Path) -> None:
    """The Debian image: cloud-init reads the same kind of seed and says when it is done."""
    ssh = free_port(socket.SOCK_STREAM)
    identity = new_identity(lab.directory)
    public_key = identity.with_suffix(".pub").read_text().strip()
    guest = lab.debian(
        disk,
        {
            "meta-data": "instance-id: deb-1\nlocal-hostname: deb1\n",
            "user-data": f"#cloud-config\nssh_authorized_keys:\n  - {public_key}\n"
            "runcmd:\n  - [sh, -c, 'echo RUNCMD $(hostname) $(ip -4 -o addr show eth1) > /dev/ttyS0']\n",
            "network-config": "version: 2\nethernets:\n"
            f"  eth0: {{match: {{macaddress: '{_mac(0x2A)}'}}, set-name: eth0, dhcp4: true}}\n"
            f"  eth1: {{match: {{macaddress: '{_mac(0x2B)}'}}, set-name: eth1, addresses: [10.1.0.5/24]}}\n",
        },
        [(f"user,hostfwd=tcp:127.0.0.1:{ssh}-:22", _mac(0x2A)), ("hubport,hubid=1", _mac(0x2B))],
    )
    seen = guest.expect(r"^RUNCMD (.*)\n", 600)
    check("debian: host name and static address", seen[1].startswith("deb1 ") and "10.1.0.5/24" in seen[1], seen[1])
    ready = guest.expect(r"PARCELA READY host=(\S+)(.*)\n", 600)
    print(f"boot  debian {guest.cpu_s():.0f} CPU-s, {guest.age_s():.0f} s to READY")
    check("debian: READY after cloud-init", ready[1] == "deb1" and "eth0=10.0.2.15/24" in ready[2], ready[0])
    login = subprocess.run(
        ssh_command(identity, ssh, "debian"), capture_output=True, text=True, timeout=90, check=False
    )
    check("debian: ssh with the key of the seed logs in", login.stdout == "deb1\n", login)
    guest.qmp("system_powerdown")
    guest.wait_for_exit(180)
    check("debian: the ACPI power button powers off", passed=True)


def main() -> int:
    """Runs the checks that the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Boots the bundled guest under QEMU and checks it.")
    parser.add_argument("build", type=Path, help="the output directory of guest/build.sh")
    parser.add_argument("--debian", type=Path, metavar="DISK", help="also check this disk of guest/debian/build.sh")
    parser.add_argument("--only", choices=("pair", "bare", "tools", "cost", "debian"), help="run one part only")
    parser.add_argument("--boots", type=int, default=3, help="how many boots to measure (default: 3)")
    parser.add_argument("--verbose", action="store_true", help="copy the serial lines to standard error")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="guest-selftest-") as directory:
        lab = Lab(options.build, Path(directory), options.verbose)
        try:
            if options.only in (None, "pair"):
                check_pair(lab)
            if options.only in (None, "bare"):
                check_bare(lab)
            if options.only in (None, "tools"):
                check_tools(lab)
                check_incomplete(lab)
            if options.only in (None, "cost"):
                measure_boot(lab, options.boots)
            if options.debian and options.only in (None, "debian"):
                check_debian(lab, options.debian)
        except SelfTestError as error:
            print(f"guest self-test failed: {error}", file=sys.stderr)
            return 1
        finally:
            lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
