"""A part of the control group trees for one lab.

libvirt makes `/machine/qemu-<id>-<name>` in them. Two libvirts that share the trees would share such a
folder as soon as id and name agree, and a killed one leaves it behind; so the lab sees a subfolder of
each tree as its root, and the supervisor removes that subfolder afterwards.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab import kernel

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Tree:
    """One mounted hierarchy and the lab's folder in it."""

    target: Path
    folder: Path
    is_v2: bool


def find(name: str) -> list[Tree]:
    """Return every mounted hierarchy, whether the folder `name` exists in it or not."""
    trees = []
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, target, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"} and Path(target).is_relative_to(ROOT):
            trees.append(Tree(Path(target), Path(target) / name, kind == "cgroup2"))
    return trees


def claim(name: str) -> list[Tree]:
    """Make a folder `name` in every hierarchy that lets us; the others are left out."""
    trees = []
    for tree in find(name):
        try:
            tree.folder.mkdir(exist_ok=True)
        except OSError:  # Read-only in most containers; libvirt runs without it.
            continue
        _prepare(tree)
        trees.append(tree)
    return trees


def _prepare(tree: Tree) -> None:
    """Give the new folder what a child needs before processes may join it."""
    if tree.is_v2:
        controllers = (tree.target / "cgroup.controllers").read_text(encoding="utf-8").split()
        for controller in controllers:
            with contextlib.suppress(OSError):
                (tree.target / "cgroup.subtree_control").write_text(f"+{controller}", encoding="utf-8")
    elif (tree.folder / "cpuset.cpus").exists():
        for setting in ("cpuset.cpus", "cpuset.mems"):
            value = (tree.target / setting).read_text(encoding="utf-8")
            (tree.folder / setting).write_text(value, encoding="utf-8")


def show_only(trees: list[Tree], stash: Path) -> None:
    """Make the lab's folders the roots of the trees, in this mount namespace.

    Call it after a fresh /sys was mounted; `stash` is a bind mount of the old `/sys/fs/cgroup`.
    """
    if not trees:
        return
    if trees[0].target != ROOT:
        kernel.mount("tmpfs", str(ROOT), "tmpfs", options="mode=755")
        for entry in stash.iterdir():
            if entry.is_symlink():  # cpu -> cpu,cpuacct and the like
                (ROOT / entry.name).symlink_to(entry.readlink())
    for tree in trees:
        tree.target.mkdir(parents=True, exist_ok=True)
        source = stash / tree.folder.relative_to(ROOT)
        kernel.mount(str(source), str(tree.target), flags=kernel.MountFlag.BIND)


def release(trees: list[Tree], timeout_s: float = 5.0) -> None:
    """Remove the lab's folders; the kernel lets go of them a moment after the last process ended."""
    deadline = time.monotonic() + timeout_s
    for tree in trees:
        while not _remove(tree.folder) and time.monotonic() < deadline:
            time.sleep(0.05)


def _remove(folder: Path) -> bool:
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            Path(path).rmdir()
        except OSError:
            return False
    return True
