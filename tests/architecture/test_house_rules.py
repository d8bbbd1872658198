"""Every module of the package keeps the house rules, and every rule can be broken."""

import pytest

from tests.architecture.rules import (
    COMMITTERS,
    OPTIONAL_IMPORTS,
    PACKAGE,
    SINGLETONS,
    Check,
    Module,
    classes_are_small,
    endpoints_are_short,
    files_are_short,
    flushes_say_why,
    functions_are_short,
    imports_stand_at_the_top,
    modules,
    modules_hold_no_state,
    modules_say_what_they_are,
    only_edges_commit,
    preconditions_are_handed_on,
    preconditions_follow_the_lock,
    statuses_stay_at_the_edge,
)

LONG_BODY = "\n".join("    x = 1" for _ in range(51))
MANY_METHODS = "class A:\n" + "\n".join(f"    def m{number}(self): ..." for number in range(21))
BROKEN: list[tuple[Check, str, str]] = [
    (files_are_short, "services/a.py", "x = 1\n" * 401),
    (files_are_short, "api/routers/a.py", "x = 1\n" * 251),
    (functions_are_short, "services/a.py", f"def long():\n{LONG_BODY}\n"),
    (functions_are_short, "services/a.py", f"class A:\n  async def long(self):\n{LONG_BODY}\n"),
    (endpoints_are_short, "api/routers/a.py", "@router.get('/')\ndef read():\n" + "    x = 1\n" * 21),
    (classes_are_small, "services/a.py", MANY_METHODS),
    (imports_stand_at_the_top, "services/a.py", "def f():\n    import json\n"),
    (imports_stand_at_the_top, "services/a.py", "class A:\n    def f(self):\n        from json import loads\n"),
    (only_edges_commit, "services/compute/slices.py", "async def f(uow):\n    await uow.commit()\n"),
    (only_edges_commit, "repositories/vms.py", "async def f(self):\n    await self._session.commit()\n"),
    (only_edges_commit, "services/compute/slices.py", "def f(uow):\n    uow.after(uow.commit)\n"),
    (flushes_say_why, "services/a.py", "async def f(uow):\n    x = 1\n    await uow.flush()\n"),
    (flushes_say_why, "repositories/a.py", "async def f(self):\n    await self._session.flush()\n"),
    (statuses_stay_at_the_edge, "services/a.py", "def f(answer):\n    return answer.status_code\n"),
    (statuses_stay_at_the_edge, "services/a.py", "def f(status):\n    return status == 404\n"),
    (statuses_stay_at_the_edge, "core/a.py", "def f():\n    raise Error(status=409)\n"),
    (statuses_stay_at_the_edge, "workers/a.py", "HTTP_STATUS: int = 503\n"),
    (modules_hold_no_state, "services/a.py", "cache = {}\n"),
    (modules_hold_no_state, "services/a.py", "CACHE = dict()\n"),
    (modules_hold_no_state, "services/a.py", "service = Service()\n"),
    (modules_hold_no_state, "services/a.py", "import threading\n_LOCK = threading.Lock()\n"),
    (modules_hold_no_state, "services/a.py", "x = 1\ndef f():\n    global x\n    x = 2\n"),
    (modules_hold_no_state, "services/a.py", "SEEN = {'a': 1}\ndef f():\n    SEEN['b'] = 2\n"),
    (modules_hold_no_state, "services/a.py", "SEEN = frozenset()\ndef f():\n    SEEN.add(2)\n"),
    (modules_say_what_they_are, "services/a.py", "def f():\n    return 1\n"),
    (preconditions_are_handed_on, "api/routers/a.py", "async def f(p: Precondition):\n    p.check(1)\n"),
    (
        preconditions_are_handed_on,
        "api/compat/a.py",
        "async def f(p: Precondition):\n    check = p.of(g)\n    check(1)\n",
    ),
    (
        preconditions_follow_the_lock,
        "services/a.py",
        "async def f(uow, check):\n    check(1)\n    await uow.a.lock(1)\n",
    ),
]
CHECKS = list(dict.fromkeys(check for check, _, _ in BROKEN))
KEPT: list[tuple[Check, str, str]] = [
    (functions_are_short, "services/a.py", 'def f():\n    """' + "long\n" * 60 + '    """\n    return 1\n'),
    (only_edges_commit, "workers/jobs/a.py", "async def f(uow):\n    await uow.commit()\n"),
    (flushes_say_why, "services/a.py", "async def f(uow):\n    await uow.flush()  # the id is needed below\n"),
    (flushes_say_why, "services/a.py", "def f(file):\n    file.flush()\n"),
    (statuses_stay_at_the_edge, "services/a.py", "BATCH = 500\ndef f(status):\n    return status == 'ok'\n"),
    (modules_hold_no_state, "services/a.py", "log = structlog.get_logger(__name__)\nTABLE = {'a': 1}\n"),
    (preconditions_are_handed_on, "api/routers/a.py", "async def f(p: Precondition):\n    await s.update(p.of(g))\n"),
    (preconditions_follow_the_lock, "services/a.py", "async def f(uow, check):\n    check(await _locked(uow))\n"),
    (modules_say_what_they_are, "services/__init__.py", "from parcela.services.a import A\n"),
]


def complaints(check: Check) -> list[str]:
    return [complaint for module in modules() for complaint in check(module)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_rule_is_kept(check: Check) -> None:
    assert not complaints(check)


@pytest.mark.parametrize(("check", "path", "text"), BROKEN)
def test_rule_can_be_broken(check: Check, path: str, text: str) -> None:
    assert list(check(Module(path, text)))


@pytest.mark.parametrize(("check", "path", "text"), KEPT)
def test_rule_lets_good_code_pass(check: Check, path: str, text: str) -> None:
    assert not list(check(Module(path, text)))


def test_exceptions_are_of_files_that_are_there() -> None:
    places = {*COMMITTERS, *(path for path, _ in OPTIONAL_IMPORTS), *(path for path, _ in SINGLETONS)}
    assert not [place for place in places if not (PACKAGE / place).exists()]


def test_exceptions_are_still_needed() -> None:
    by_path = {module.path: module.text for module in modules()}
    assert not [place for place in COMMITTERS if place.endswith(".py") and "commit" not in by_path[place]]
    assert not [key for key in OPTIONAL_IMPORTS if f"from {key[1]} import" not in by_path[key[0]]]
    assert not [key for key in SINGLETONS if f"\n{key[1]} = " not in by_path[key[0]]]
