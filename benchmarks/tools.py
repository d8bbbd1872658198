"""Programs that only benchmarks need: in a virtual environment of their own, which nothing else of the project makes.

Their dependencies would pull ours to other versions, and 400 MB are too much for a test suite that does not use them.
"""

import argparse
from pathlib import Path

FOLDER = ".cache/bench-tools"
PACKAGES = ("gns3-server==3.0.6", "ortools==9.15.6755")
HOW = f"python3 -m venv {FOLDER} && {FOLDER}/bin/pip install {' '.join(PACKAGES)}"


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tools", type=Path, default=Path(FOLDER), help=f"virtual environment; made by: {HOW}")


def find(folder: Path, module: str) -> Path | None:
    """The interpreter of the environment, when it has this module."""
    has = next(folder.glob(f"lib/python3.*/site-packages/{module}/__init__.py"), None)
    return folder / "bin/python" if has else None


def missing(what: str) -> str:
    """The line of a report for what could not be compared."""
    return f"not measured: {what} is not installed; {HOW}"
