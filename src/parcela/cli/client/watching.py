"""Waits for an operation: the event stream moves it, polling is the backstop, a live table shows it."""

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

import httpx2
from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from parcela.cli.client.client import Api, Json
from parcela.cli.exits import CliError, Exit
from parcela.cli.output import Output, clean, styled

ENDED = frozenset({"succeeded", "failed", "cancelled", "stuck"})
POLL_S = 1.0
"""How long to wait for an event before asking for the operation itself."""
RECONNECT_S = 1.0
JOIN_S = 2.0
MARKS = {
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "undo_failed": ("✗", "red"),
    "skipped": ("-", "dim"),
    "undone": ("↶", "yellow"),
    "pending": ("·", "dim"),
}
LAGGED = "lagged"


def parse_event(lines: list[str]) -> tuple[str, str]:
    """Name and data of one server-sent event (its lines, without the empty one that ends it)."""
    name, data = "message", []
    for line in lines:
        key, _, value = line.partition(":")
        if key == "event":
            name = value.removeprefix(" ")
        elif key == "data":
            data.append(value.removeprefix(" "))
    return name, "\n".join(data)


def read_events(response: httpx2.Response) -> Iterator[tuple[str, str]]:
    """Name and data of each event of a stream."""
    lines: list[str] = []
    for line in response.iter_lines():
        if line:
            lines.append(line)
        elif lines:
            name, data = parse_event(lines)
            lines = []
            if data:
                yield name, data


def follow(
    api: Api,
    since: int | None,
    *,
    pause: Callable[[float], object],
    slice_id: int | None = None,
    on_open: Callable[[httpx2.Response], object] = lambda _response: None,
) -> Iterator[Json]:
    """Events without end; a broken connection is taken up again after the last event that came.

    Args:
        api: the server.
        since: number of the last event one has; None for those from now on.
        pause: waits before a new connection; gives True to stop.
        slice_id: only events of this slice.
        on_open: told of every new connection.
    """
    while True:
        headers = {"Accept": "text/event-stream"}
        if since is not None:
            headers["Last-Event-ID"] = str(since)
        try:
            with api.stream("/events/stream", headers, slice_id=slice_id) as response:
                on_open(response)
                for name, data in read_events(response):
                    if name == LAGGED:
                        break  # we were too slow: what is missing comes after a new connection
                    event: Json = json.loads(data)
                    since = event["id"]
                    yield event
        except httpx2.TransportError:
            pass
        except CliError as error:
            if error.code is not Exit.UNAVAILABLE:
                raise
        if pause(RECONNECT_S):
            return


class EventFeed:
    """Reads the stream on a thread of its own, so that the waiting side can also poll and redraw."""

    def __init__(self, api: Api) -> None:
        """Not yet connected."""
        self._api = api
        self._queue: queue.Queue[Json] = queue.Queue()
        self._stop = threading.Event()
        self._response: httpx2.Response | None = None
        # A daemon: it may just be connecting when the command ends.
        self._thread = threading.Thread(target=self._read, name="parcela-events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._hang_up()
        self._thread.join(timeout=JOIN_S)

    def wait(self, timeout_s: float) -> Json | None:
        """The next event, or None when none came in time (or the stream is not to be had)."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _opened(self, response: httpx2.Response) -> None:
        self._response = response
        if self._stop.is_set():
            self._hang_up()

    def _hang_up(self) -> None:
        """Wake the reading thread: to close a socket that another thread reads does not, to shut it down does."""
        if self._response is not None and (stream := self._response.extensions.get("network_stream")) is not None:
            with suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        # Polling goes on without the stream, whatever ended it; RuntimeError: the client was closed under it.
        with suppress(CliError, httpx2.HTTPError, RuntimeError, ValueError, KeyError):
            for event in follow(self._api, None, pause=self._stop.wait, on_open=self._opened):
                self._queue.put(event)


@dataclass
class Progress:
    """An operation as it is known, kept up to date by events."""

    operation: Json
    steps: dict[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.replace(self.operation)

    @property
    def state(self) -> str:
        """State of the operation."""
        return str(self.operation["state"])

    def replace(self, detail: Json) -> list[Json]:
        """Take what the server says; gives the steps that changed."""
        self.operation = detail
        changed = []
        for step in detail.get("steps", []):
            old = self.steps.get(step["key"])
            if old is None or (old["state"], old["message"]) != (step["state"], step["message"]):
                changed.append(step)
            self.steps[step["key"]] = step
        return changed

    def apply(self, event: Json) -> list[Json]:
        """Take an event; gives the steps that changed."""
        data = event["data"]
        if event["type"] != "operation.step" or data.get("step") not in self.steps:
            return []
        old = self.steps[data["step"]]
        new = {**old, "state": data["state"], "message": data["message"]}
        self.steps[data["step"]] = new
        return [new] if new != old else []

    def failures(self) -> list[Json]:
        """What went wrong, as problems."""
        bad = [step for step in self.steps.values() if step["state"] in {"failed", "undo_failed"}]
        return [{"where": step["label"], "what": step["message"], "code": step["state"]} for step in bad]


class Display:
    """Shows progress on stderr: a live table on a terminal, a line per change elsewhere, nothing for programs."""

    def __init__(self, out: Output, progress: Progress) -> None:
        """Take what to show."""
        self._out = out
        self._progress = progress
        self._live: Live | None = None
        self._spinner = Spinner("dots", style="cyan")

    @contextmanager
    def shown(self) -> Iterator["Display"]:
        """Show it for a while; the last picture stays."""
        if self._out.as_json or not self._out.stderr.is_terminal:
            self.changed([step for step in self._progress.steps.values() if step["state"] != "pending"])
            yield self
            return
        with Live(self.picture(), console=self._out.stderr, refresh_per_second=8) as live:
            self._live = live
            yield self
            live.update(self.picture(), refresh=True)

    def changed(self, steps: list[Json]) -> None:
        """Steps changed."""
        if self._live is not None:
            self._live.update(self.picture())
        elif not self._out.as_json:
            for step in steps:
                self._out.note(f"{step['state']:>8}  {step['label']}{_reason(step)}")

    def picture(self) -> RenderableType:
        """Title and a row per step."""
        operation, steps = self._progress.operation, self._progress.steps.values()
        done = sum(step["state"] == "done" for step in steps)
        title = Text.assemble((f"{operation['kind']} ", "bold"), styled(operation["state"]), f"  {done}/{len(steps)}")
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        for step in steps:
            sign, style = MARKS.get(step["state"], ("", ""))
            mark: RenderableType = Text(sign, style=style) if sign else self._spinner
            table.add_row(mark, Text(clean(step["label"])), Text(_reason(step).strip(), style="dim"))
        return Group(title, table)


def wait_for(api: Api, out: Output, operation_id: int) -> Json:
    """Watch an operation to its end and give it with its steps.

    Raises:
        CliError: it failed, was cancelled or is stuck; the problem document holds it under ``operation``.
    """
    with EventFeed(api) as feed:
        progress = Progress(api.get(f"/operations/{operation_id}"))
        try:
            with Display(out, progress).shown() as display:
                _advance(api, feed, progress, display)
        except KeyboardInterrupt:
            out.note(f"The server goes on with it: 'parcela operation watch {operation_id}' shows it again.")
            raise
    if progress.state != "succeeded":
        raise operation_failed(progress)
    return progress.operation


def _advance(api: Api, feed: EventFeed, progress: Progress, display: Display) -> None:
    operation_id = progress.operation["id"]
    while progress.state not in ENDED:
        event = feed.wait(POLL_S)
        if event is not None and event["operation_id"] != operation_id:
            continue
        if event is not None and event["type"] == "operation.step":
            display.changed(progress.apply(event))
        else:  # it began, turned back or ended, or we have not heard of it for a while
            display.changed(progress.replace(api.get(f"/operations/{operation_id}")))


def operation_failed(progress: Progress) -> CliError:
    """What to say of an operation that did not succeed."""
    operation = progress.operation
    reason = f": {operation['error']}" if operation["error"] else "."
    detail = f"Operation {operation['id']} ({operation['kind']}) ended as {operation['state']}{reason}"
    document = {"code": f"operation_{operation['state']}", "detail": detail, "problems": progress.failures()}
    return CliError(Exit.OPERATION_FAILED, {**document, "operation": operation})


def _reason(step: Json) -> str:
    return f"  {clean(step['message'])}" if step["message"] else ""
