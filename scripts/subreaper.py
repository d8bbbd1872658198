"""Run a daemon under a parent that reaps orphans at once: `subreaper.py COMMAND [ARG...]`.

A daemon such as libvirtd leaves its grandchildren (QEMU) to process 1. In container-like machines
process 1 collects the dead only every couple of seconds, and libvirt waits for it: destroying a
domain then takes two seconds instead of a quarter of one.
"""

import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Run `command`, reap whatever is orphaned below it, and return its exit code."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    daemon = os.fork()
    if daemon == 0:
        os.execvp(command[0], command)  # noqa: S606  # a shell between would be one more process to reap
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: os.kill(daemon, received))
    exit_code = 0
    # Goes on after the daemon ended: guests outlive libvirtd, and are reaped when they end.
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return exit_code
        if pid == daemon:
            exit_code = os.waitstatus_to_exitcode(status)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
