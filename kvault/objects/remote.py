"""Files behind any other fsspec URL (S3, memory, ...), whose own writes are whole or not at all.

Such services publish an object when its upload ends, so that nothing more is asked of them. Kept apart from the local
folder so that a vault on disk never imports fsspec.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fsspec.core import url_to_fs

from kvault.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Remote:
    """A tree of names under ``root`` of one fsspec file system."""

    filesystem: Any
    root: str

    @staticmethod
    def open(url: str) -> Remote:
        """The file system that ``url`` names. Raises :class:`InvalidInput` for an unknown or uninstalled protocol."""
        try:
            filesystem, root = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise InvalidInput(
                f"the object store's URL cannot be used: {error}",
                field="objects",
                url=url,
                remedy="Give a folder, or a URL whose fsspec driver is installed (s3:// needs s3fs).",
            ) from error
        return Remote(filesystem, root.rstrip("/"))

    def read(self, name: str) -> bytes:
        """The bytes of ``name``. Raises ``FileNotFoundError``."""
        return bytes(self.filesystem.cat_file(f"{self.root}/{name}"))

    def size(self, name: str) -> int | None:
        """The size of ``name`` in bytes, or None where there is none."""
        try:
            return int(self.filesystem.info(f"{self.root}/{name}")["size"])
        except FileNotFoundError:
            return None

    def publish(self, files: Mapping[str, bytes], present: Collection[str] = ()) -> None:
        """Write ``files`` by name; a finished upload is durable, as ``present`` are."""
        for name, data in files.items():
            self.filesystem.makedirs(f"{self.root}/{name}".rpartition("/")[0], exist_ok=True)
            self.filesystem.pipe_file(f"{self.root}/{name}", data)

    def names(self) -> Iterator[str]:
        """Every published name, in order."""
        for path in sorted(self.filesystem.find(self.root)):
            yield path.removeprefix(self.root).lstrip("/")

    def delete(self, name: str) -> None:
        """Take ``name`` away; silent where there is none."""
        with suppress(FileNotFoundError):
            self.filesystem.rm_file(f"{self.root}/{name}")
