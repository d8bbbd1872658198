"""The edge commits before it answers: a commit that fails is never a 2xx, and then nothing has happened."""

from pathlib import Path

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.uow import UnitOfWork
from tests.integration.http.lab import API, Lab, problem
from tests.integration.http.rights_table import RULES, Rule
from tests.integration.http.rights_targets import TARGETS, filled_path, request_of

pytestmark = pytest.mark.anyio
NO_COMMIT = {
    "POST /api/v1/templates/validate": "writes nothing",
    "POST /api/v1/logout": "ends the session that the other tests use",
    "POST /api/v1/users/me/password": "changes the password of the other tests",
}
WRITING = [
    rule
    for rule in RULES.values()
    if rule.method not in {"GET", "WS"} and rule.statuses["admin"] < 300 and rule.route not in NO_COMMIT
]


@pytest.mark.parametrize("rule", WRITING, ids=lambda rule: rule.route)
async def test_a_failing_commit_is_no_success(lab: Lab, monkeypatch: pytest.MonkeyPatch, rule: Rule) -> None:
    made = await TARGETS[rule.target](lab) if rule.target in TARGETS else {}
    options = await request_of(lab, rule.route, made)
    path = filled_path(rule.path, made)
    before = await lab.counts()
    tries = []

    async def fail(_uow: UnitOfWork) -> None:
        tries.append(1)
        raise ParcelaError(ErrorKind.UNAVAILABLE, "database_unavailable", "Gone.", retry_after_s=2)

    with monkeypatch.context() as broken:
        broken.setattr(UnitOfWork, "commit", fail)
        answer = await lab.http.request(rule.method, path, headers=lab.people["admin"].headers, **options)
    if rule.path.startswith(API):
        problem(answer, 503, "database_unavailable")
    else:  # the older APIs have their own shape of errors
        assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "2"
    assert tries
    assert await lab.counts() == before
    await lab.settle_held()


async def test_a_failed_creation_leaves_no_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    options = await request_of(lab, "POST /api/v1/images/", {})
    options["content"] = b"\1" + options["content"][1:]  # a content nobody else has
    store = lab.services.settings.data_dir

    async def fail(_uow: UnitOfWork) -> None:
        raise ParcelaError(ErrorKind.UNAVAILABLE, "database_unavailable", "Gone.")

    before = _image_files(store)
    with monkeypatch.context() as broken:
        broken.setattr(UnitOfWork, "commit", fail)
        problem(await lab.call("POST", "/images/", **options), 503, "database_unavailable")
    left = _image_files(store) - before
    # A published file without a row is what the next start removes; a temporary one would stay.
    await lab.services.images.remove_unreferenced()
    assert len(left) <= 1
    assert _image_files(store) == before


def _image_files(folder: Path) -> set[Path]:
    return {path for path in (folder / "images").rglob("*") if path.is_file()}
