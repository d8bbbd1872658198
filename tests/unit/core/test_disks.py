"""When a file system is short of space."""

import errno
from pathlib import Path

import pytest

from parcela.core.disks import DiskSpace, LowLimit, storage_error

GIB = 1024
LIMIT = LowLimit(percent=5, most_gib=20)


@pytest.mark.parametrize(
    ("size_mib", "limit_mib"), [(300, 15), (20 * GIB, GIB), (400 * GIB, 20 * GIB), (10_000 * GIB, 20 * GIB)]
)
def test_the_limit_follows_the_size_up_to_a_point(size_mib: int, limit_mib: int) -> None:
    assert LIMIT.mib(size_mib) == limit_mib
    assert DiskSpace(size_mib, limit_mib).shortage(LIMIT) == ""
    assert "are free, fewer than" in DiskSpace(size_mib, limit_mib - 1).shortage(LIMIT)


def test_it_is_fine_again_only_with_a_margin() -> None:
    space = DiskSpace(100 * GIB, 5 * GIB + 10)
    assert space.shortage(LIMIT) == ""
    assert space.shortage(LIMIT, was_low=True) != ""
    assert DiskSpace(100 * GIB, 6 * GIB).shortage(LIMIT, was_low=True) == ""


def test_files_can_run_out_before_bytes_do() -> None:
    assert DiskSpace(GIB, GIB, inodes=1000, inodes_free=49).shortage(LIMIT) == "only 49 more files fit on it (inodes)"
    assert DiskSpace(GIB, GIB, inodes=1000, inodes_free=50).shortage(LIMIT) == ""
    assert DiskSpace(GIB, GIB, inodes=0, inodes_free=0).shortage(LIMIT) == ""  # btrfs sets no limit


def test_0_percent_means_never() -> None:
    assert DiskSpace(GIB, 0).shortage(LowLimit(0, 20)) == ""


def test_a_folder_that_is_not_there_yet_is_measured(tmp_path: Path) -> None:
    found = DiskSpace.of(tmp_path / "not" / "yet")
    assert 0 < found.free_mib <= found.size_mib


def test_errors_of_the_system() -> None:
    codes = {}
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        error = storage_error(OSError(number, "x"))
        codes[number] = error and error.code
    assert codes == {
        errno.ENOSPC: "storage_full",
        errno.EDQUOT: "storage_full",
        errno.EROFS: "storage_read_only",
        errno.EACCES: None,
    }
