import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.passwords import MAX_PASSWORD_BYTES, Lane, PasswordHasher, PasswordPolicy, check_password_rules

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    made = PasswordHasher(rounds=4)
    yield made
    made.close()


@pytest.mark.parametrize("password", ["x" * 8, "x" * 72, "ñ" * 36, "€" * 24, "pass word"])
async def test_good_ones(hasher: PasswordHasher, password: str) -> None:
    hashed = await hasher.hash(password)
    assert hashed.startswith("$2b$04$")
    assert await hasher.verify(password, hashed)
    assert not await hasher.verify(password + "x", hashed)
    assert not await hasher.verify("x" + password, hashed)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("x" * 73, "password_too_long"),
        ("ñ" * 36 + "x", "password_too_long"),
        ("😀" * 19, "password_too_long"),
        ("x" * 7, "password_too_short"),
        ("ñ" * 7, "password_too_short"),
        ("", "password_too_short"),
        ("abcdefgh\x00", "password_invalid"),
        ("abcdefgh\ud800", "password_invalid"),
    ],
)
async def test_bad_ones(hasher: PasswordHasher, password: str, code: str) -> None:
    with pytest.raises(ParcelaError) as caught:
        await hasher.hash(password)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID, code)
    assert [problem.code for problem in caught.value.problems] == [code]
    assert not await hasher.verify(password, await hasher.hash("good enough"))


def test_the_number_of_bytes_is_told() -> None:
    with pytest.raises(ParcelaError, match=r"at most 72 bytes .* has 74\.") as caught:
        check_password_rules("ñ" * 37, "new_password")
    assert caught.value.problems[0].where == "new_password"


@given(st.text(st.characters(), max_size=100))
def test_rules_take_any_text(password: str) -> None:
    try:
        check_password_rules(password)
    except ParcelaError as error:
        assert error.kind is ErrorKind.INVALID  # noqa: PT017 (both outcomes are right; only others are not)
    else:
        assert 8 <= len(password.encode()) <= MAX_PASSWORD_BYTES


async def test_no_hash_costs_the_same_and_never_fits(hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> None:
    against: list[str] = []
    verify = hasher._hash.verify

    def note(password: str, hashed: str) -> bool:
        against.append(hashed)
        return verify(password, hashed)

    monkeypatch.setattr(hasher._hash, "verify", note)
    real = await hasher.hash("good enough")
    assert not await hasher.verify("good enough", None)
    assert not await hasher.verify("x" * 73, real)
    assert not await hasher.verify("", None)
    assert len(against) == 3
    assert all(hashed[:7] == real[:7] and len(hashed) == len(real) for hashed in against), "as many rounds"


async def test_off_the_event_loop(hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()

    def note(_password: str) -> str:
        threads.add(threading.current_thread().name)
        return "hash"

    monkeypatch.setattr(hasher._hash, "hash", note)
    await asyncio.gather(*(hasher.hash("good enough") for _ in range(10)))
    assert all(name.startswith("bcrypt") for name in threads)


def test_passwords_are_hashed_nowhere_else() -> None:
    source = Path(__file__).parents[3] / "src" / "parcela"
    users = {
        path.name
        for path in source.rglob("*.py")
        if "pwdlib" in path.read_text() or "import bcrypt" in path.read_text()
    }
    assert users == {"passwords.py"}


POLICY = PasswordPolicy()
ABOUT = ["ana.quispe@lab.example", "aquispe", "Ana Quispe"]


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password_too_short"),
        ("x" * 73, "password_too_long"),
        ("password", "password_common"),
        ("PassWord", "password_common"),
        ("password2031!", "password_common"),
        ("12345678", "password_common"),
        ("aaaaaaaaaa", "password_common"),
        ("12121212", "password_common"),
        ("contraseña", "password_common"),
        ("aquispe1", "password_is_name"),
        ("AQuispe2031", "password_is_name"),
        ("Ana.Quispe@lab.example", "password_is_name"),
        ("ana.quispe", "password_is_name"),
        ("Ana Quispe!", "password_is_name"),
    ],
)
def test_a_policy_refuses(password: str, code: str) -> None:
    with pytest.raises(ParcelaError) as caught:
        POLICY.check(password, "new_password", ABOUT)
    assert (caught.value.code, caught.value.problems[0].where) == (code, "new_password")


@pytest.mark.parametrize("password", ["correct horse battery", "aquispe likes rain", "ñandúes8", "8f3kd92mx"])
def test_a_policy_lets_pass(password: str) -> None:
    POLICY.check(password, "password", ABOUT)


def test_a_longer_least_length() -> None:
    with pytest.raises(ParcelaError, match="at least 12 characters"):
        PasswordPolicy(12).check("elevenchars")


def test_the_list_is_written_as_it_is_compared() -> None:
    assert len(POLICY.common) > 90
    assert {word for word in POLICY.common if word != word.casefold().strip()} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
async def test_hashing_gives_way_to_everything_else(hasher: PasswordHasher) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    mine = niceness()
    assert await hasher.verify("x", None) is False
    for lane, added in ((Lane.KNOWN, 10), (Lane.STRANGERS, 15)):
        assert hasher._lines[lane].pool.submit(niceness).result() == min(19, mine + added)
    assert niceness() == mine


async def fill(hasher: PasswordHasher, lane: Lane, gate: threading.Event) -> list[asyncio.Task[bool]]:
    """Occupy every place of a lane until the gate opens."""
    entered = asyncio.Semaphore(0)

    async def occupy() -> bool:
        async with hasher.turn(lane):
            entered.release()
            await asyncio.get_running_loop().run_in_executor(hasher._lines[lane].pool, gate.wait)
            return True

    tasks = [asyncio.create_task(occupy()) for _ in range(hasher.threads + 1)]
    for _ in tasks:
        await entered.acquire()
    return tasks


async def test_strangers_never_take_the_last_thread_from_known_people(hasher: PasswordHasher) -> None:
    gate = threading.Event()
    busy = await fill(hasher, Lane.STRANGERS, gate)
    try:
        async with hasher.turn(Lane.KNOWN) as has_waited:
            assert not has_waited
            assert await hasher.verify("x", None) is False, "and it was answered while all strangers' threads are busy"
    finally:
        gate.set()
        await asyncio.gather(*busy)


async def test_a_full_lane_says_when_to_come_back() -> None:
    hasher, gate = PasswordHasher(rounds=4, strangers_waiting=2), threading.Event()
    busy = await fill(hasher, Lane.STRANGERS, gate)

    async def wait() -> bool:
        async with hasher.turn(Lane.STRANGERS) as has_waited:
            return has_waited

    waiting = [asyncio.create_task(wait()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ParcelaError) as caught:
        await wait()
    assert (caught.value.kind, caught.value.code, caught.value.retry_after_s) == ("rate_limited", "sign_in_busy", 5)
    gate.set()
    await asyncio.gather(*busy)
    assert await asyncio.gather(*waiting) == [True, True]
    hasher.close()
