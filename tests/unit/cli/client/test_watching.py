"""Following events and operations."""

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.console import Console

from parcela.cli.client.watching import Display, Progress, follow, operation_failed, parse_event
from parcela.cli.exits import CliError, Exit
from parcela.cli.output import Output
from tests.unit.cli.support import fake_api, problem


def event(number: int) -> str:
    return f'id: {number}\nevent: vm.state\ndata: {{"id": {number}}}\n\n'


def test_events_are_parsed() -> None:
    assert parse_event(["id: 1", "event: vm.state", "data: {", "data:}", "retry: 5"]) == ("vm.state", "{\n}")
    assert parse_event([": hello"]) == ("message", "")


class Breaking:
    """A stream that breaks after two events, in three ways; remembers where it was taken up."""

    def __init__(self) -> None:
        self.since: list[str | None] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        last = request.headers.get("Last-Event-ID")
        self.since.append(last)
        start = int(last or 0)
        match len(self.since):
            case 2:
                return problem(503, "starting")
            case 3:
                return httpx2.Response(200, text=event(start + 1) + f"event: lagged\ndata: {start + 1}\n\n")
            case _:
                return httpx2.Response(200, content=self.body(request, start))

    def body(self, request: httpx2.Request, start: int) -> Iterator[bytes]:
        yield b": hello\n\n"
        yield (event(start + 1) + event(start + 2)).encode()
        raise httpx2.ReadError("reset", request=request)


def test_a_broken_stream_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    server = Breaking()
    pauses: list[float] = []
    with fake_api(tmp_path, server) as (api, _pauses):
        events = list(islice(follow(api, 10, pause=pauses.append), 5))
    assert [item["id"] for item in events] == [11, 12, 13, 14, 15]
    assert server.since == ["10", "12", "12", "13"]
    assert len(pauses) == 3


def test_a_refusal_ends_it(tmp_path: Path) -> None:
    with fake_api(tmp_path, lambda _request: problem(403, "forbidden")) as (api, _pauses), pytest.raises(CliError):
        next(follow(api, None, pause=lambda _s: None))


def operation(state: str, *steps: tuple[str, str]) -> dict[str, Any]:
    rows = [
        {"key": key, "label": f"Do {key}", "state": step, "message": "no" if step == "failed" else ""}
        for key, step in steps
    ]
    return {
        "id": 7,
        "kind": "slice.deploy",
        "state": state,
        "error": "" if state != "failed" else "Why.",
        "steps": rows,
    }


def test_progress_tells_what_changed() -> None:
    progress = Progress(operation("running", ("a", "running"), ("b", "pending")))
    told = {"type": "operation.step", "data": {"step": "a", "state": "done", "message": ""}}
    assert [step["state"] for step in progress.apply(told)] == ["done"]
    assert progress.apply(told) == []
    assert progress.apply({"type": "vm.state", "data": {"state": "running"}}) == []
    assert progress.apply({"type": "operation.step", "data": {"step": "unknown", "state": "done", "message": ""}}) == []
    assert [step["key"] for step in progress.replace(operation("failed", ("a", "done"), ("b", "failed")))] == ["b"]
    error = operation_failed(progress)
    assert error.code is Exit.OPERATION_FAILED
    assert str(error) == "Operation 7 (slice.deploy) ended as failed: Why."
    assert error.problem["problems"] == [{"where": "Do b", "what": "no", "code": "failed"}]


def test_changes_are_lines_when_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(operation("running", ("a", "running"), ("b", "pending")))
    with Display(Output(as_json=False), progress).shown() as display:
        display.changed(progress.replace(operation("running", ("a", "done"), ("b", "failed"))))
    assert capsys.readouterr().err.splitlines() == [" running  Do a", "    done  Do a", "  failed  Do b  no"]


def test_the_picture_has_every_step() -> None:
    progress = Progress(operation("running", ("a", "done"), ("b", "running"), ("c", "failed")))
    screen = io.StringIO()
    Console(width=60, file=screen).print(Display(Output(as_json=True), progress).picture())
    text = screen.getvalue()
    assert "slice.deploy running  1/3" in text
    assert all(f"Do {key}" in text for key in "abc")
