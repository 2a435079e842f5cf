"""A small real vault on the demonstration model, made once by the command line itself, copied for each test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import kvault

DEMO = Path(kvault.__file__).parent / "demo"
KVAULT = Path(sys.executable).parent / "kvault"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Shell:
    """Types commands in a vault's folder."""

    folder: Path

    def __call__(self, *words: str, status: int | None = 0, timeout: float = 240, **environment: str) -> Said:
        done = subprocess.run(
            [str(KVAULT), *words],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "KVAULT_ACTOR": "tester", **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert status is None or said.status == status, f"{words}: {said}"
        assert "Traceback" not in said.err, said.err
        return said


@pytest.fixture(scope="session")
def finished_vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault with finance's relations and facts and three edited facts in two commits."""
    folder = tmp_path_factory.mktemp("vault")
    shell = Shell(folder)
    shell("init", ".")
    shell("relation", "import", str(DEMO / "data/relations/finance.yaml"))
    shell("import", "--baseline", str(DEMO / "data/facts/finance.csv"))
    shell("commit", "-m", "What the base model knows")
    shell("amend", "Intel", "chief_executive", "Bob Swan", "--valid-from", "2019-01-31", "--evidence", "Intel, 2019")
    shell("amend", "McDonald's", "headquarters", "Chicago", "--valid-from", "2018-06-04", "--evidence", "McDonald's")
    shell("commit", "-m", "First news", "--editor", "memit")
    shell("amend", "Intel", "chief_executive", "Pat Gelsinger", "--valid-from", "2021-02-15", "--evidence", "Intel")
    shell("commit", "-m", "Second news")
    return folder


@pytest.fixture
def shell(finished_vault: Path, tmp_path: Path) -> Shell:
    """A shell in a copy of the vault."""
    shutil.copytree(finished_vault, tmp_path / "vault")
    return Shell(tmp_path / "vault")


@pytest.fixture
def empty(tmp_path: Path) -> Callable[[], Shell]:
    """Makes a shell in a new empty folder."""

    def make() -> Shell:
        folder = tmp_path / "empty"
        folder.mkdir()
        return Shell(folder)

    return make
