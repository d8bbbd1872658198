"""Measure the promises of DESIGN 10: ``python -m benchmarks [NAME [OPTION...]]``.

Without a name: every benchmark that this machine can run, with its default options. Exit code 1 when a promise that
was measured is missed.
"""

import importlib
import sys

from benchmarks.report import Report

NAMES = ("listing", "startup", "placement", "scaling", "logins", "fanout", "strangers", "deploy")


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in {"-h", "--help"}:
        print(__doc__, f"Names: {', '.join(NAMES)}", sep="\n")
        return 0
    if arguments and arguments[0] not in NAMES:
        print(f"unknown benchmark: {arguments[0]}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    missed = 0
    for name in arguments[:1] or NAMES:
        report: Report = importlib.import_module(f"benchmarks.{name}").run(arguments[1:])
        report.print()
        missed += report.missed
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
