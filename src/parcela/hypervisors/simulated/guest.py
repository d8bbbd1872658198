"""The guest inside a simulated VM, from power-on to power-off: it boots, prints and runs a tiny shell."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from parcela.hypervisors.simulated.timing import FOREVER_S, Signal
from parcela.hypervisors.spec import GuestConfig, NicSpec, SegmentKind, VmSpec

HISTORY_BYTES = 65536
HELP = """\
A simulated machine. Commands:
  help             this text
  hostname         name of the machine
  ip [addr|route]  network cards, or routes
  ping ADDRESS     answers by walking the simulated network (options are taken and ignored)
  echo TEXT        prints; with "> /data/FILE" writes to the disk
  cat FILE, ls     files of the disk; a new overlay is empty
  reboot, poweroff, crash
"""


class Wish(StrEnum):
    """What the guest does to its own VM."""

    POWER_OFF = "power_off"
    REBOOT = "reboot"
    CRASH = "crash"


_WISHES = {"poweroff": Wish.POWER_OFF, "reboot": Wish.REBOOT, "crash": Wish.CRASH}


@dataclass(frozen=True, slots=True)
class Outside:
    """What a guest can reach beyond itself.

    Attributes:
        ping: whether an IPv4 address answers.
        lease: IPv4 address with prefix for a MAC on the NAT segment.
        printed: notified when the guest printed something or its VM changed.
    """

    ping: Callable[[str], bool]
    lease: Callable[[str], str]
    printed: Signal


class Guest:
    """One run of a VM. All times are moments of the world's clock, in seconds."""

    def __init__(self, spec: VmSpec, files: dict[str, str], outside: Outside) -> None:
        """Take what the VM is, what its disk holds (shared, so that it survives this run) and its surroundings."""
        self.spec = spec
        self.files = files
        self.ready = False
        self.wish: Wish | None = None
        self.addresses: dict[str, str] = {}  # MAC -> IPv4 address with prefix
        self.off_at = FOREVER_S
        self._outside = outside
        self._ready_at = FOREVER_S
        self._left_s = FOREVER_S  # boot time still to go while the processors are paused
        self._line = bytearray()
        self._boot_text = bytearray()
        self.history = bytearray()
        self.sinks: list[Callable[[bytes], None]] = []

    # ---- time

    def boot(self, boot_s: float) -> None:
        """Begin to boot with paused processors; ``go`` lets it run. ``boot_s`` may be endless."""
        self.ready = False
        self.wish = None
        self.addresses = {}
        self.off_at = self._ready_at = FOREVER_S
        self._left_s = boot_s
        self._line.clear()
        self._boot_text.clear()
        self._print(f"Parcela simulated machine {self.spec.name}: {self.spec.vcpus} vCPU, {self.spec.memory_mib} MiB\n")
        self._print("Booting...\n")

    def go(self, now: float) -> None:
        """The processors run."""
        self._ready_at = now + self._left_s
        self._left_s = 0.0

    def halt(self, now: float) -> None:
        """The processors stand still."""
        self._left_s = max(0.0, self._ready_at - now) if not self.ready else 0.0
        self._ready_at = FOREVER_S

    def press_power_button(self, at: float) -> None:
        """Begin to shut down; off at the moment ``at`` unless it was already to be off earlier."""
        self.off_at = min(self.off_at, at)

    def advance(self, now: float) -> None:
        """Do what was due up to ``now``."""
        if not self.ready and now >= self._ready_at:
            self._finish_boot()
        if self.wish is None and now >= self.off_at:
            self._print("The system is going down.\n")
            self.wish = Wish.POWER_OFF

    def due_in(self, now: float) -> float:
        """Seconds until something happens by itself; endless when nothing will."""
        ready_at = FOREVER_S if self.ready else self._ready_at
        return max(0.0, min(ready_at, self.off_at) - now)

    # ---- serial line

    def has_printed(self, marker: str) -> bool:
        """Whether the text was printed since the last boot began."""
        wanted = marker.encode()
        return wanted in self._boot_text or (len(self._boot_text) >= HISTORY_BYTES and wanted in self.history)

    def type(self, data: bytes) -> None:
        """Keys from the serial line. What is typed while the machine boots is lost, as on a real one without getty."""
        for byte in data:
            if self.ready and self.wish is None:
                self._key(byte)

    def _key(self, byte: int) -> None:
        match byte:
            case 0x0D | 0x0A:
                line = bytes(self._line).decode(errors="replace").strip()
                self._line.clear()
                self._print("\n")
                self._run(line)
                if self.wish is None:
                    self._prompt()
            case 0x08 | 0x7F:
                if self._line:
                    self._line.pop()
                    self._put(b"\b \b")
            case 0x03:
                self._line.clear()
                self._print("^C\n")
                self._prompt()
            case _ if byte >= 0x20 and len(self._line) < 1024:
                self._line.append(byte)
                self._put(bytes([byte]))
            case _:
                pass

    def _print(self, text: str) -> None:
        self._put(text.replace("\n", "\r\n").encode())

    def _put(self, data: bytes) -> None:
        self.history += data
        if len(self.history) > HISTORY_BYTES:
            del self.history[:-HISTORY_BYTES]
        self._boot_text += data[: HISTORY_BYTES - len(self._boot_text)]
        for sink in self.sinks:
            sink(data)
        self._outside.printed.notify()

    def _prompt(self) -> None:
        self._print(f"{self.spec.guest.hostname}:~# ")

    def _finish_boot(self) -> None:
        self.ready = True
        for nic in self.spec.nics:
            # Nobody answers a DHCP request on an edge or a LAN.
            leased = nic.dhcp and nic.segment is not None and nic.segment.kind is SegmentKind.NAT
            address = self._outside.lease(nic.mac) if leased else nic.address
            if address:
                self.addresses[nic.mac] = address
        cards = "".join(
            f" eth{index}={self.addresses[nic.mac]}"
            for index, nic in enumerate(self.spec.nics)
            if nic.mac in self.addresses
        )
        line = f"PARCELA READY host={self.spec.guest.hostname}{cards}"
        marker = self.spec.image.ready_marker
        if marker and marker not in line:
            self._print(f"{marker}\n")
        self._print(f"{line}\n")
        self._prompt()

    # ---- shell

    def _run(self, line: str) -> None:
        command, *words = line.split() or [""]
        match command:
            case "" | "sync":
                pass
            case "poweroff" | "reboot" | "crash":
                self.wish = _WISHES[command]
            case "ping" if words:
                self._ping(words[-1])
            case "echo":
                self._echo(words)
            case _:
                self._print(self._answer(command, words))

    def _answer(self, command: str, words: list[str]) -> str:
        """What a command that only looks prints."""
        match command, words:
            case "help", []:
                return HELP
            case "hostname", []:
                return f"{self.spec.guest.hostname}\n"
            case "ip", _:
                return _routes(self.spec.guest) if words and "route".startswith(words[0]) else self._cards()
            case "cat", [path]:
                return self.files.get(path, f"cat: can't open '{path}': No such file or directory\n")
            case "ls", _:
                return "".join(f"{path}\n" for path in sorted(self.files))
            case _:
                return f"-sh: {command}: not found\n"

    def _echo(self, words: list[str]) -> None:
        if len(words) >= 2 and words[-2] == ">":
            self.files[words[-1]] = " ".join(words[:-2]) + "\n"
        else:
            self._print(" ".join(words) + "\n")

    def _ping(self, address: str) -> None:
        answers = self._outside.ping(address)
        self._print(f"PING {address} ({address}): 56 data bytes\n")
        if answers:
            self._print(f"64 bytes from {address}: seq=0 ttl=64 time=0.042 ms\n")
        self._print(
            f"\n--- {address} ping statistics ---\n1 packets transmitted, {int(answers)} packets received, "
            f"{0 if answers else 100}% packet loss\n",
        )

    def _cards(self) -> str:
        return "1: lo: <LOOPBACK,UP>\n    inet 127.0.0.1/8\n" + "".join(
            self._card(index, nic) for index, nic in enumerate(self.spec.nics)
        )

    def _card(self, index: int, nic: NicSpec) -> str:
        state = "UP" if nic.segment else "NO-CARRIER"
        address = f"    inet {self.addresses[nic.mac]}\n" if nic.mac in self.addresses else ""
        return f"{index + 2}: eth{index}: <{state}> mtu {nic.mtu}\n    link/ether {nic.mac}\n{address}"


def _routes(config: GuestConfig) -> str:
    default = f"default via {config.gateway}\n" if config.gateway else ""
    return default + "".join(f"{prefix} via {hop}\n" for prefix, hop in config.routes)
