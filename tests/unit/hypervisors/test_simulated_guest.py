"""The guests of the simulated world: shell, network and screen."""

import struct

import pytest

from parcela.hypervisors.simulated import Delays, SimulatedDriver, SimulatedWorld
from parcela.hypervisors.simulated.rfb import HEIGHT, WIDTH, RfbServer
from parcela.hypervisors.spec import Capability, GuestConfig, PowerState, SegmentKind, VmSpec
from tests.unit.hypervisors.simulated_lab import driver, nic, segment, vm

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def world() -> SimulatedWorld:
    return SimulatedWorld(delays=Delays.none())


async def running(host: SimulatedDriver, spec: VmSpec) -> VmSpec:
    await host.create_vm(spec)
    await host.start_vm(spec.uuid)
    return spec


async def say(host: SimulatedDriver, spec: VmSpec, keys: bytes) -> str:
    line = await host.open_serial(spec.uuid)
    await line.read()
    await line.write(keys)
    text = await line.read()
    await line.aclose()
    return text.decode()


async def test_the_line_begins_with_the_boot_text(world: SimulatedWorld) -> None:
    host = driver(world)
    spec = await running(host, vm(nic(None, "10.0.0.1/24")))
    text = await (await host.open_serial(spec.uuid)).read()
    assert text.endswith(b"PARCELA READY host=web eth0=10.0.0.1/24\r\nweb:~# ")


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (b"hostname\r", "hostname\r\nweb\r\nweb:~# "),
        (b"\r", "\r\nweb:~# "),
        (b"hostnamf\x7fe\r", "hostnamf\b \be\r\nweb\r\nweb:~# "),
        (b"half\x03", "half^C\r\nweb:~# "),
        (b"ip route\r", "ip route\r\ndefault via 10.0.0.254\r\n10.9.0.0/16 via 10.0.0.9\r\nweb:~# "),
        (b"echo hello you\r", "echo hello you\r\nhello you\r\nweb:~# "),
        (b"frobnicate\r", "frobnicate\r\n-sh: frobnicate: not found\r\nweb:~# "),
        (b"echo a > /data/f\rls\rcat /data/f\r", "web:~# ls\r\n/data/f\r\nweb:~# cat /data/f\r\na\r\nweb:~# "),
    ],
)
async def test_the_shell(world: SimulatedWorld, keys: bytes, answer: str) -> None:
    host = driver(world)
    guest = GuestConfig("web", gateway="10.0.0.254", routes=(("10.9.0.0/16", "10.0.0.9"),))
    spec = await running(host, vm(guest=guest))
    assert (await say(host, spec, keys)).endswith(answer)


async def test_help_names_every_command(world: SimulatedWorld) -> None:
    host = driver(world)
    text = await say(host, await running(host, vm()), b"help\r")
    assert all(word in text for word in ("hostname", "ip", "ping", "help", "poweroff"))


@pytest.mark.parametrize(
    ("command", "power"),
    [
        (b"poweroff\r", PowerState.STOPPED),
        (b"crash\r", PowerState.CRASHED),
        (b"reboot\r", PowerState.RUNNING),
    ],
)
async def test_a_guest_can_end_itself(world: SimulatedWorld, command: bytes, power: PowerState) -> None:
    host = driver(world)
    spec = await running(host, vm())
    line = await host.open_serial(spec.uuid)
    await line.write(command)
    assert (await host.inventory()).vms[0].power is power


# ---- network


async def test_neighbours_answer_while_they_run(world: SimulatedWorld) -> None:
    host, lan, other = driver(world), segment(1), segment(2)
    for one in (lan, other):
        await host.ensure_segment(one)
    a = await running(host, vm(nic(lan, "10.0.0.1/24"), name="a"))
    b = await running(host, vm(nic(lan, "10.0.0.2/24"), name="b"))
    await running(host, vm(nic(other, "10.0.0.3/24"), name="c"))
    assert world.ping(a.uuid, "10.0.0.1")
    assert world.ping(a.uuid, "127.0.0.1")
    assert world.ping(a.uuid, "10.0.0.2")
    assert not world.ping(a.uuid, "10.0.0.3"), "another segment"
    assert not world.ping(a.uuid, "10.0.0.4")
    assert not world.ping(a.uuid, "192.168.0.1")
    assert not world.ping(a.uuid, "nonsense")
    await host.suspend(b.uuid)
    assert not world.ping(a.uuid, "10.0.0.2")


async def test_routers_forward_and_answers_need_a_way_back(world: SimulatedWorld) -> None:
    host, left, right = driver(world), segment(1), segment(2)
    for one in (left, right):
        await host.ensure_segment(one)
    a = await running(host, vm(nic(left, "10.1.0.1/24"), guest=GuestConfig("a", gateway="10.1.0.254")))
    b = await running(host, vm(nic(right, "10.2.0.1/24"), guest=GuestConfig("b", gateway="10.2.0.254")))
    lost = await running(host, vm(nic(right, "10.2.0.2/24"), guest=GuestConfig("lost")))
    cards = (nic(left, "10.1.0.254/24"), nic(right, "10.2.0.254/24"))
    assert not world.ping(a.uuid, "10.2.0.1"), "no router yet"
    router = await running(host, vm(*cards, guest=GuestConfig("r", forward=True)))
    assert world.ping(a.uuid, "10.2.0.1")
    assert world.ping(b.uuid, "10.1.0.1")
    assert world.ping(a.uuid, "10.2.0.254"), "the far side of the router itself"
    assert not world.ping(a.uuid, "10.2.0.2"), "lost has no route back"
    assert not world.ping(lost.uuid, "10.1.0.1")
    await host.power_off(router.uuid)
    assert not world.ping(a.uuid, "10.2.0.1")


async def test_segments_join_hosts_that_can_join_them(world: SimulatedWorld) -> None:
    one, two, lan = driver(world, "h1"), driver(world, "h2"), segment()
    await one.ensure_segment(lan)
    await two.ensure_segment(lan)
    a = await running(one, vm(nic(lan, "10.0.0.1/24"), name="a"))
    await running(two, vm(nic(lan, "10.0.0.2/24"), name="b"))
    assert world.ping(a.uuid, "10.0.0.2")
    world.add_host("h2", capabilities=frozenset({Capability.LAN_SEGMENTS}))
    assert not world.ping(a.uuid, "10.0.0.2")


async def test_nat_gives_addresses_and_a_gateway_but_no_neighbours(world: SimulatedWorld) -> None:
    host, nat = driver(world), segment(kind=SegmentKind.NAT)
    await host.ensure_segment(nat)
    a = await running(host, vm(nic(nat, dhcp=True), name="a"))
    b = await running(host, vm(nic(nat, dhcp=True), name="b"))
    leases = {seen.uuid: dict(seen.addresses) for seen in (await host.inventory()).vms}
    address = leases[b.uuid][b.nics[0].mac]
    assert leases[a.uuid][a.nics[0].mac] != address
    assert world.ping(a.uuid, "172.31.0.1")
    assert not world.ping(a.uuid, address)


# ---- screen


def shake(server: RfbServer) -> None:
    assert server.feed(b"RFB 003.008\n") == b"\x01\x01"
    assert server.feed(b"\x01") == bytes(4)
    init = server.feed(b"\x01")
    assert struct.unpack(">HH", init[:4]) == (WIDTH, HEIGHT)
    assert init.endswith(b"\x00\x00\x00\x03web")


def test_a_full_picture_has_one_colour() -> None:
    server = RfbServer("web", b"\x10\x20\x30")
    shake(server)
    picture = server.feed(struct.pack(">BBHHHH", 3, 0, 0, 0, WIDTH, HEIGHT))
    assert picture[:16] == struct.pack(">BxHHHHHi", 0, 1, 0, 0, WIDTH, HEIGHT, 0)
    assert picture[16:] == b"\x30\x20\x10\x00" * (WIDTH * HEIGHT)


def test_messages_may_come_in_pieces_and_in_any_pixel_format() -> None:
    server = RfbServer("web", b"\xff\x00\x00")
    shake(server)
    rgb565 = struct.pack(">BBBBHHHBBB3x", 16, 16, 1, 1, 31, 63, 31, 11, 5, 0)
    keys = struct.pack(">BBHI", 4, 1, 0, 65) + struct.pack(">BBHH", 5, 0, 1, 1)
    clipboard = struct.pack(">BxxxI", 6, 3) + b"abc"
    encodings = struct.pack(">BxHi", 2, 1, 0)
    request = struct.pack(">BBHHHH", 3, 0, WIDTH - 1, HEIGHT - 1, 50, 50)
    answer = b""
    for byte in struct.pack(">Bxxx", 0) + rgb565 + keys + clipboard + encodings + request:
        answer += server.feed(bytes([byte]))
    assert answer[16:] == b"\xf8\x00"
    assert not server.broken


@pytest.mark.parametrize("wrong", [b"GET / HTTP/1", b"RFB 003.003\n"])
def test_others_are_not_answered(wrong: bytes) -> None:
    server = RfbServer("web", bytes(3))
    assert server.feed(wrong) == b""
    assert server.broken


def test_an_unknown_message_ends_it() -> None:
    server = RfbServer("web", bytes(3))
    shake(server)
    assert server.feed(b"\xc8") == b""
    assert server.broken
