"""The contracts of import-linter hold, and would notice a module that breaks them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.rules import PACKAGE, ROOT

PROGRAM = Path(sys.executable).parent / "lint-imports"


def _run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), "--no-cache", "--config", str(folder / "pyproject.toml")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
    )


def test_contracts_hold() -> None:
    done = subprocess.run([str(PROGRAM), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """A package with the folders and the rooms of ours, and nothing in them."""
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    shown = [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__init__.py")]
    shown += [*PACKAGE.glob("services/*.py"), *PACKAGE.glob("services/*/__init__.py"), PACKAGE / "core" / "settings.py"]
    for path in shown:
        made = tmp_path / "parcela" / path.relative_to(PACKAGE)
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text("")
    return tmp_path


def test_a_package_without_imports_is_fine(skeleton: Path) -> None:
    done = _run(skeleton)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "line", "contract"),
    [
        ("services/a.py", "import parcela.api", "Layers"),
        ("core/a.py", "import parcela.models", "Layers"),
        ("placement/a.py", "import parcela.hypervisors", "Layers"),
        ("services/identity/a.py", "import parcela.services.compute", "Rooms of services"),
        ("services/mail/a.py", "import parcela.services.catalogue", "Rooms of services"),
        ("services/a.py", "", "Rooms of services"),
        ("services/a.py", "import fastapi", "No web framework"),
        ("services/a.py", "import sqlalchemy", "SQLAlchemy only"),
        ("services/a.py", "import libvirt", "libvirt only"),
        ("hypervisors/a.py", "import parcela.core.settings", "Drivers and placement"),
    ],
)
def test_a_broken_contract_is_named(skeleton: Path, path: str, line: str, contract: str) -> None:
    (skeleton / "parcela" / path).write_text(f"{line}\n")
    done = _run(skeleton)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(contract in text and "BROKEN" in text for text in done.stdout.splitlines()), done.stdout


def test_a_new_layer_must_be_named(skeleton: Path) -> None:
    (skeleton / "parcela" / "helpers.py").write_text("")
    assert _run(skeleton).returncode == 1
