"""The two processes around an isolated lab: the one outside that cleans up, and process 1 inside."""

import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from tests.lab import cgroups, kernel, namespaces
from tests.lab.workdir import WorkDir

WATCHED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}
SI_KERNEL = 0x80
GRACE_S = 30.0


def why_not_isolated() -> str | None:
    """Return why this process cannot make namespaces, or None when it can."""
    if os.geteuid() != 0:
        return "not root"
    pid = os.fork()
    if pid == 0:
        try:
            kernel.unshare(kernel.Clone.MOUNT | kernel.Clone.NETWORK | kernel.Clone.IPC | kernel.Clone.PID)
            kernel.mount("none", "/", flags=kernel.MountFlag.RECURSIVE | kernel.MountFlag.PRIVATE)
        except OSError as error:
            os._exit(error.errno or errno.EIO)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status == 0:
        return None
    reason = os.strerror(os.waitstatus_to_exitcode(status))
    return f"root, but no right to make namespaces and mounts here, as in most containers ({reason})"


def run_isolated(workdir: WorkDir, inside: Callable[[], int]) -> int:
    """Call `inside` in namespaces of its own and return its exit code; nothing survives it.

    When process 1 of a PID namespace ends, the kernel kills all others in it: daemons, guests, and
    whatever the command left behind, even if we are killed ourselves.
    """
    trees = cgroups.claim(workdir.name)
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    kernel.unshare(kernel.Clone.PID)
    pid = os.fork()
    if pid == 0:
        kernel.die_with_parent(signal.SIGKILL)
        _be_process_one(workdir, trees, inside, old_mask)
    try:
        return _watch(pid)
    finally:
        cgroups.release(trees)
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def _watch(pid: int) -> int:
    """Hand signals down until process 1 ended; insist after a while."""
    deadline: float | None = None
    while True:
        wait_s = 3600.0 if deadline is None else max(0.0, deadline - time.monotonic())
        received = signal.sigtimedwait(WATCHED, wait_s)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return _exit_code(status)
        if received is None or received.si_signo == signal.SIGCHLD:
            if deadline is not None and time.monotonic() >= deadline:
                os.kill(pid, signal.SIGKILL)
        elif received.si_signo == signal.SIGINT:
            # Ctrl-C comes from the kernel and reaches everyone in the terminal's group by itself.
            if received.si_code != SI_KERNEL:
                os.kill(pid, signal.SIGUSR1)
        elif deadline is None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_S
        else:  # Asked twice.
            os.kill(pid, signal.SIGKILL)


def _be_process_one(
    workdir: WorkDir, trees: list[cgroups.Tree], inside: Callable[[], int], old_mask: set[int | signal.Signals]
) -> None:
    """Enter the lab, call `inside` in a child, reap everybody's orphans, and end with its exit code."""
    code = 1
    try:
        namespaces.enter(workdir, trees)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        main = os.fork()
        if main == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
            code = inside()
        else:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, lambda received, _frame: os.kill(main, received))
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
            code = _reap_until(main)
    except BaseException:  # noqa: BLE001  # a forked child must never unwind into the caller's stack
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reap_until(main: int) -> int:
    """Collect the dead at once; libvirt waits for QEMU to be reaped when it destroys a guest."""
    while True:
        pid, status = os.wait()
        if pid == main:
            return _exit_code(status)


def _exit_code(status: int) -> int:
    """Return what a shell would: 128 + N after signal N."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
