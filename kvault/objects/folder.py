"""Files of a local folder, each published whole or not at all.

A file is written under a temporary name in the folder that it will live in, synced, renamed, and the folder is synced:
after a crash at any instruction its name is either absent or complete. This module knows names and bytes, no digests.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".part-"
OLD = 3600.0
"""Seconds after which a temporary file has no writer any more; no write of a few objects takes as long."""
LEAVING = ".part-leaving-"
"""What a file is called in the instant between its removal from sight and its end."""
_SYNCS = 16
"""How many files are synced at a time."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as it lies there: its size in bytes, and when it was last published (microseconds since 1970)."""

    name: str
    size: int
    at: int


@dataclass(frozen=True, slots=True)
class Folder:
    """A tree of folders one level deep: names are ``FOLDER/FILE``."""

    root: str

    def read(self, name: str) -> bytes:
        """The bytes of ``name``. Raises ``FileNotFoundError``."""
        with self.stream(name) as file:
            return file.read()

    def stream(self, name: str) -> AbstractContextManager[BinaryIO]:
        """The bytes of ``name`` as a stream. Raises ``FileNotFoundError``."""
        try:
            return open(os.path.join(self.root, name), "rb")
        except FileNotFoundError:
            return open(self._leaving(name), "rb")

    def size(self, name: str) -> int | None:
        """The size of ``name`` in bytes, or None where there is none."""
        try:
            return os.stat(os.path.join(self.root, name)).st_size
        except FileNotFoundError:
            return None

    def publish(self, files: Mapping[str, bytes], present: Mapping[str, bytes]) -> None:
        """Write ``files`` by name; after it, a power cut takes away none of them and none of ``present``.

        Files are synced side by side, because a disk takes many at a time. A failure leaves no half of a file behind.
        The time of ``present`` becomes now, which tells a collection that they are wanted again; one that was taken
        away since it was looked at is written.
        """
        files = {**files, **{name: data for name, data in present.items() if not self._renewed(name)}}
        temporaries: dict[str, str] = {}
        changed = os.stat(self.root).st_mtime if os.path.isdir(self.root) else math.inf
        touched = {os.path.join(self.root, os.path.dirname(name)) for name in (*files, *present)}
        try:
            for name, data in files.items():
                touched |= _make_folder(Path(self.root, name).parent)
                temporaries[name] = self._temporary(name)
                _write(temporaries[name], data)
            if temporaries:
                self._sweep(changed, os.stat(next(iter(temporaries.values()))).st_mtime)
            _sync(temporaries.values())
            for name in files:
                os.rename(temporaries[name], os.path.join(self.root, name))
                del temporaries[name]
        finally:
            for left in temporaries.values():
                with suppress(FileNotFoundError):
                    os.unlink(left)
        _sync(touched)

    def _sweep(self, touched: float, now: float) -> None:
        """Take away what killed writers left: temporary files older than an hour, looked for once an hour at most.

        ``touched`` is when the root was last changed or swept, ``now`` the time of a file just written: the file
        system's own clock decides. A folder that cannot be swept is no reason to refuse an object.
        """
        if now - touched < OLD:
            return
        with suppress(OSError):
            os.utime(self.root)
            for folder in _entries(self.root):
                place = os.path.join(self.root, folder)
                for file in _entries(place) if os.path.isdir(place) else ():
                    path = os.path.join(place, file)
                    if _is_part(file) and now - os.stat(path).st_mtime > OLD:
                        os.unlink(path)

    def _renewed(self, name: str) -> bool:
        try:
            os.utime(os.path.join(self.root, name))
        except FileNotFoundError:
            return False
        except PermissionError:
            return True  # another user's file: its owner collects, and sees the commit that needs it
        return True

    def _leaving(self, name: str) -> str:
        folder, _, file = name.rpartition("/")
        return os.path.join(self.root, folder, f"{LEAVING}{file}")

    def _temporary(self, name: str) -> str:
        unique = f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        return os.path.join(self.root, os.path.dirname(name), unique)

    def names(self) -> Iterator[str]:
        """Every published name, in order."""
        for folder in _entries(self.root):
            if os.path.isdir(os.path.join(self.root, folder)):
                for file in _entries(os.path.join(self.root, folder)):
                    if not file.startswith(TEMPORARY):
                        yield f"{folder}/{file}"

    def stored(self) -> Iterator[Stored]:
        """Every published name with its size and time."""
        for name in self.names():
            if (found := self._stat(name)) is not None:
                yield found

    def leftovers(self) -> Iterator[Stored]:
        """Temporary files of writers that were interrupted, and perhaps of some that are at work."""
        for folder in _entries(self.root):
            for file in _entries(os.path.join(self.root, folder)):
                mine = file.startswith(TEMPORARY) and not file.startswith(LEAVING)
                if mine and (found := self._stat(f"{folder}/{file}")) is not None:
                    yield found

    def _stat(self, name: str) -> Stored | None:
        try:
            found = os.stat(os.path.join(self.root, name))
        except FileNotFoundError:
            return None
        return Stored(name, found.st_size, found.st_mtime_ns // 1000)

    def discard(self, name: str, before: int) -> bool:
        """Take ``name`` away unless it was published at or after ``before``; whether it is gone.

        The file is first renamed, then looked at again: whoever published it in between either finds it absent and
        writes it anew, or has changed its time, and then it comes back.
        """
        found = self._stat(name)
        if found is None or found.at >= before:
            return found is None
        place, leaving = os.path.join(self.root, name), self._leaving(name)
        with suppress(FileNotFoundError):
            os.rename(place, leaving)
            if os.stat(leaving).st_mtime_ns // 1000 >= before:
                os.rename(leaving, place)
                return False
            os.unlink(leaving)
        return True

    def recover(self) -> int:
        """Bring back the files whose removal was cut short; how many there were."""
        count = 0
        for folder in _entries(self.root):
            for file in _entries(os.path.join(self.root, folder)):
                if file.startswith(LEAVING):
                    leaving = os.path.join(self.root, folder, file)
                    place = os.path.join(self.root, folder, file.removeprefix(LEAVING))
                    with suppress(FileNotFoundError):
                        os.unlink(leaving) if os.path.exists(place) else os.rename(leaving, place)
                        count += 1
        return count

    def delete(self, name: str) -> None:
        """Take ``name`` away; silent where there is none."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.root, name))


def _is_part(file: str) -> bool:
    """Whether a file is a writer's; one that a collection was taking away comes back instead."""
    return file.startswith(TEMPORARY) and not file.startswith(LEAVING)


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _make_folder(folder: Path) -> set[str]:
    """Make ``folder`` and return the folders that gained one by it."""
    if folder.is_dir():
        return set()
    touched = _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    return touched | {str(folder.parent)}


def _write(path: str, data: bytes) -> None:
    with open(path, "xb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
    os.chmod(path, 0o444)


def _sync(paths: Collection[str]) -> None:
    if len(paths) <= 1:
        for path in paths:
            _sync_one(path)
        return
    with ThreadPoolExecutor(min(_SYNCS, len(paths))) as pool:
        for _ in pool.map(_sync_one, paths):
            pass


def _sync_one(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
