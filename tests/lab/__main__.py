"""Run a command inside the private test lab.

    python -m tests.lab [--only NAMES | --none] -- COMMAND [ARG...]

The exit code is the command's. Services: libvirt, session, postgres, mariadb, redis, mongo. The command finds
PARCELA_TEST_<X>_URL / _URI / _DIR for what runs and PARCELA_TEST_<X>_SKIP with the reason for what does
not. Files that QEMU must read belong into PARCELA_TEST_TMP: it runs as another user.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.lab import supervisor
from tests.lab.lab import SERVICES, Lab, say
from tests.lab.workdir import WorkDir


def main() -> int:
    """Parse the command line and run the lab."""
    names = [kind.name for kind in SERVICES]
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", metavar="NAMES", help=f"start only these, separated by commas: {', '.join(names)}")
    choice.add_argument("--none", action="store_true", help="start no services and make no namespaces")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    arguments = parser.parse_args()
    chosen = frozenset(arguments.only.split(",") if arguments.only else [] if arguments.none else names)
    if unknown := chosen - set(names):
        parser.error(f"unknown service: {', '.join(sorted(unknown))}")
    not_isolated = "--none" if arguments.none else supervisor.why_not_isolated()
    workdir = WorkDir(Path(os.environ.get("PARCELA_LAB_BASE", "/var/tmp")))
    lab = Lab(workdir, chosen, not_isolated)
    try:
        if not_isolated is None:
            return supervisor.run_isolated(workdir, lambda: lab.run(arguments.command))
        if not arguments.none:
            say(f"no namespaces of its own: {not_isolated}")
        return lab.run(arguments.command)
    finally:
        workdir.close()


if __name__ == "__main__":
    sys.exit(main())
