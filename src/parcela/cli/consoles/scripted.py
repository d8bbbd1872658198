"""A serial console in a script: type something, wait for a text, and give what the guest printed."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from parcela.cli.exits import Exit, fail

QUIET_S = 0.5
"""A console sends what was printed since power-on first; when it is quiet for so long, that is over."""
Receive = Callable[[float], bytes | None]
"""Waits so many seconds for bytes: None at the end of the console, TimeoutError when nothing came."""
Send = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Script:
    """What to do.

    Attributes:
        text: what to type, "" for nothing; each line is followed by Enter.
        until: text to wait for, or None to listen for the whole time.
        timeout_s: how long altogether.
    """

    text: str
    until: re.Pattern[str] | None
    timeout_s: float


@dataclass(slots=True)
class Session:
    """One run of a script over a console."""

    receive: Receive
    send: Send
    clock: Callable[[], float] = time.monotonic
    seen: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def run(self, script: Script) -> tuple[str, bool]:
        """Type, wait, and give what came after that (line ends as on Unix) and whether the text was seen.

        Without anything to type, what was printed earlier counts, too.
        """
        deadline = self.clock() + script.timeout_s
        start = 0
        if script.text:
            self._drain(deadline)
            start = len(self.seen)
            self.send(keys_of(script.text))
        while True:
            output = answer_of(self.seen[start:], script.text)
            if script.until is not None and output is not None and script.until.search(output):
                return output, True
            if self.ended or not self._more(deadline - self.clock()):
                return output or "", False

    def _drain(self, deadline: float) -> None:
        while not self.ended and self._more(min(QUIET_S, deadline - self.clock())):
            pass

    def _more(self, timeout_s: float) -> bool:
        """Take what comes; False when nothing did in time."""
        if timeout_s <= 0:
            return False
        try:
            data = self.receive(timeout_s)
        except TimeoutError:
            return False
        if data is None:
            self.ended = True
        else:
            self.seen += data
        return True


def keys_of(text: str) -> bytes:
    """The keys that type a text: every line ends with Enter."""
    return b"".join(line.encode() + b"\r" for line in text.splitlines())


def answer_of(printed: bytes | bytearray, typed: str) -> str | None:
    """What a guest answered: what it printed after the echo of the last line typed.

    A terminal echoes what is typed, and a search must not find its own command there. None while the echo is under way;
    a guest that does not echo (at a password, say) has all after its first line end taken for the answer.
    """
    text = printed.decode("utf-8", errors="replace").replace("\r", "")
    lines = typed.splitlines()
    if not lines:
        return text
    _, found, after = text.rpartition(lines[-1]) if len(lines) > 1 else text.partition(lines[-1])
    if found and lines[-1]:
        return after.removeprefix("\n")
    _, newline, after = text.partition("\n")
    return after if newline else None


def check_seen(script: Script, *, seen: bool) -> None:
    """Raise the error of a script that waited in vain."""
    if script.until is not None and not seen:
        text = f"'{script.until.pattern}' did not appear within {script.timeout_s:g} s."
        raise fail(Exit.OPERATION_FAILED, "text_not_seen", text)
