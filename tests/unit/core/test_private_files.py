"""Files that other users of the machine cannot read, whatever the umask is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from parcela.core.private_files import close_data_folder, create_private, make_private_folder, write_private


@pytest.fixture(autouse=True, params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


def test_a_new_file_is_closed_from_its_first_moment_and_an_old_one_from_the_next_writing(tmp_path: Path) -> None:
    with create_private(tmp_path / "new") as file:
        assert mode(tmp_path / "new") == 0o600
        file.write(b"1")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "new")
    (tmp_path / "old").write_bytes(b"longer than the new text")
    (tmp_path / "old").chmod(0o644)
    write_private(tmp_path / "old", b"2")
    assert (mode(tmp_path / "old"), (tmp_path / "old").read_bytes()) == (0o600, b"2")
    write_private(tmp_path / "other", b"3")
    assert mode(tmp_path / "other") == 0o600


def test_a_folder_is_closed_and_may_be_there(tmp_path: Path) -> None:
    for _ in range(2):
        make_private_folder(tmp_path / "folder")
        assert mode(tmp_path / "folder") == 0o700


def test_what_an_older_version_left_readable_is_closed_at_the_start(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    outside.chmod(0o644)
    data = tmp_path / "data"
    os.umask(0)
    for folder in ("images/incoming", "inventory/incoming", "hypervisor/images", "import"):
        (data / folder).mkdir(parents=True)
    (data / "images").chmod(0o755)
    closed = ["parcela.db", "parcela.db-wal", "secret.key", "backup.sql", "images/1.qcow2", "images/incoming/2"]
    closed += ["inventory/3", "inventory/incoming/4"]
    left = ["hypervisor/images/5.qcow2", "import/6.iso"]
    for name in closed + left:
        (data / name).touch()
        (data / name).chmod(0o644)
    (data / "link").symlink_to(outside)
    close_data_folder(data)
    assert {name: mode(data / name) for name in closed} == dict.fromkeys(closed, 0o600)
    assert {name: mode(data / name) for name in left} == dict.fromkeys(left, 0o644)
    assert (mode(data / "images"), mode(outside)) == (0o700, 0o644)
