"""Taking objects away: only what was not put again, whatever a writer does at the same instant."""

from __future__ import annotations

import os
import secrets
import threading
import time
from pathlib import Path

import pytest

from kvault.ids import Digest, canonical_json, digest_of, sha256
from kvault.objects import headers
from kvault.objects.failures import ObjectDamaged, ObjectMissing
from kvault.objects.folder import Stored
from kvault.objects.headers import Form
from kvault.objects.store import HEAD, ObjectStore
from kvault.objects.tensors import encode_tensors


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A store in a folder, and behind an fsspec URL."""
    folder = str(tmp_path / "objects")
    return ObjectStore.open(folder if request.param == "folder" else f"memory://{secrets.token_hex(6)}/objects")


def now() -> int:
    return time.time_ns() // 1000


def test_an_object_is_taken_away_unless_it_is_newer(store: ObjectStore) -> None:
    digest = store.put(b"one")
    [(name, found)] = store.stored()
    assert (name, found.size) == (digest, 3)
    assert abs(found.at - now()) < 60_000_000
    assert not store.discard(digest, found.at)
    assert store.has(digest)
    assert store.discard(digest, found.at + 1)
    assert not store.has(digest)
    assert store.discard(digest, found.at + 1), "what is gone is gone"
    assert store.leftovers() == []
    assert store.recover() == 0


def test_verifying_reads_the_whole_and_hands_out_the_beginning(store: ObjectStore) -> None:
    data = secrets.token_bytes(2 * HEAD + 7)
    digest = store.put(data)
    assert store.verify(digest) == store.head(digest) == data[:HEAD]
    with pytest.raises(ObjectMissing):
        store.verify(sha256(b"absent"))
    with pytest.raises(ObjectMissing):
        store.head(sha256(b"absent"))


@pytest.mark.parametrize("at", [0, HEAD - 1, HEAD, 2 * HEAD + 6])
def test_a_flipped_bit_anywhere_is_found_in_the_stream(tmp_path: Path, at: int) -> None:
    store = ObjectStore.open(str(tmp_path))
    digest = store.put(bytes(2 * HEAD + 7))
    path = tmp_path / digest[:2] / digest[2:]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    with pytest.raises(ObjectDamaged):
        store.verify(digest)


def test_a_writer_that_puts_what_is_being_taken_away_keeps_it(tmp_path: Path) -> None:
    store = ObjectStore.open(str(tmp_path))
    data = b"wanted again"
    digest = store.put(data)
    path = tmp_path / digest[:2] / digest[2:]
    for _ in range(150):
        os.utime(path, (1, 1))
        barrier = threading.Barrier(2)

        def take(barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            store.discard(digest, 2_000_000)

        taker = threading.Thread(target=take)
        taker.start()
        barrier.wait()
        store.put(data)
        taker.join()
        assert path.exists()
        assert store.get(digest) == data


def test_forms_and_names_are_read_from_the_beginning() -> None:
    inner = digest_of(["x"])
    tensors = encode_tensors({}, {"recipe": inner})
    document = canonical_json({"a": {"b": [inner, "short"]}})
    assert headers.form_of(tensors, len(tensors)) is Form.TENSORS
    assert headers.header(tensors) == {"recipe": inner}
    assert headers.named_in_header(tensors) == {inner}
    assert headers.form_of(document, len(document)) is Form.DOCUMENT
    assert headers.named_in_text(document) == {inner}
    assert headers.form_of(b"kvmapL1\n", 8) is Form.MAP
    assert headers.form_of(b"\0" * 64, 64) is Form.BYTES
    assert headers.header(b"\xff" * 40) is None
    with pytest.raises(ObjectDamaged):
        headers.named_in_node(b"kvmapL1\n\x07", Digest(inner))


def test_a_removal_that_was_cut_short_can_be_undone(tmp_path: Path) -> None:
    store = ObjectStore.open(str(tmp_path))
    digest = store.put(b"half gone")
    path = tmp_path / digest[:2] / digest[2:]
    path.rename(path.with_name(f".part-leaving-{path.name}"))
    assert store.get(digest) == b"half gone"
    assert store.leftovers() == []
    assert store.recover() == 1
    assert path.exists()
    (path.parent / ".part-123").write_bytes(b"xy")
    [left] = store.leftovers()
    assert isinstance(left, Stored)
    assert left.size == 2
    assert store.discard_leftover(left.name, left.at + 1)
    assert store.leftovers() == []
