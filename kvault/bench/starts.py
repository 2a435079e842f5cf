"""How long a command takes to start: the median of several processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from kvault.bench.figures import Figure, Setting, at_most
from kvault.vault.facade import Vault

TIMES = 7
PROGRAM = "from kvault.cli.main import main; main()"


def start_times(setting: Setting) -> list[Figure]:
    """``kvault --help``, and ``kvault log`` in a fresh vault of the demonstration model."""
    times = 3 if setting.quick else TIMES
    with TemporaryDirectory(dir=setting.work) as folder:
        Vault.init(folder).database.close()
        return [
            Figure("start: kvault --help", _median(["--help"], folder, times, setting), "s", times, at_most(0.3)),
            Figure("start: kvault log", _median(["log"], folder, times, setting), "s", times, at_most(0.6)),
        ]


def _median(arguments: Sequence[str], folder: str | Path, times: int, setting: Setting) -> float:
    seconds = []
    for turn in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=folder, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
        setting.say(f"kvault {arguments[0]}", turn + 1, times)
    return statistics.median(seconds)
