"""Benchmark part ``verifying``: how many bytes of objects ``fsck --full`` goes through in a second of one core."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from kvault.bench.figures import Figure, Setting, at_least
from kvault.bench.long_history import LongHistory
from kvault.db import Database
from kvault.objects.store import ObjectStore
from kvault.settings import FOLDER, Settings, write
from kvault.vault import Vault

OBJECTS, QUICK_OBJECTS, BYTES = 128, 16, 8_000_000
FACTS, COMMITS = 2_000, 200


def verifying_speed(setting: Setting) -> list[Figure]:
    """A short history with a gigabyte of objects beside it, verified whole, against plain hashing."""
    count = QUICK_OBJECTS if setting.quick else OBJECTS
    with TemporaryDirectory(dir=setting.work) as folder:
        place = Settings(Path(folder) / FOLDER)
        place.folder.mkdir()
        database, store = Database.open(place.database_url), ObjectStore.open(place.objects_url)
        database.migrate()
        LongHistory(database, store, FACTS, COMMITS).write(setting.say)
        database.close()
        write(place)
        rng = np.random.default_rng(0)
        for number in range(count):
            store.put(rng.bytes(BYTES))
            setting.say("objects", number + 1, count)
        total = sum(entry.size for _, entry in store.stored())
        vault = Vault.open(folder)
        wall, processor = time.monotonic(), time.process_time()
        vault.fsck(level="full")
        wall, processor = time.monotonic() - wall, time.process_time() - processor
        data = rng.bytes(10 * BYTES)
        plain = time.process_time()
        hashlib.sha256(data)
        plain = time.process_time() - plain
    return [
        Figure("fsck --full, a second of processor time", total / 1e9 / processor, "GB/s", count, at_least(0.5)),
        Figure("fsck --full, a second of the clock", total / 1e9 / wall, "GB/s", count),
        Figure("plain SHA-256, a second of processor time", 10 * BYTES / 1e9 / plain, "GB/s", 10),
    ]
