"""The object store: durable before it is named, verified when it is read, clear when it cannot."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.errors import InvalidInput, TryAgain
from kvault.ids import Digest, sha256
from kvault.objects.failures import ObjectDamaged, ObjectMissing, StorageError, StorageFull
from kvault.objects.folder import TEMPORARY
from kvault.objects.store import ObjectStore


@pytest.fixture(params=["folder", "file", "memory"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A store in a folder, by a file URL, and behind another fsspec URL."""
    urls = {
        "folder": str(tmp_path / "objects"),
        "file": f"file://{tmp_path}/objects",
        "memory": f"memory://{secrets.token_hex(6)}/objects",
    }
    return ObjectStore.open(urls[request.param])


def files(folder: Path) -> list[str]:
    """Every file below ``folder``."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def path_of(folder: Path, digest: Digest) -> Path:
    return folder / digest[:2] / digest[2:]


def flip(path: Path, position: int = 0) -> None:
    """Change one bit of a file."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_what_is_put_is_got(anywhere: ObjectStore) -> None:
    digest = anywhere.put(b"hello")
    assert digest == sha256(b"hello")
    assert anywhere.get(digest) == b"hello"
    assert anywhere.has(digest)
    assert anywhere.size(digest) == 5
    assert list(anywhere.iterate()) == [digest]


def test_putting_again_changes_nothing(anywhere: ObjectStore) -> None:
    assert anywhere.put(b"x") == anywhere.put(b"x")
    assert anywhere.put_many([b"x", b"y", b"x"]) == [sha256(b"x"), sha256(b"y"), sha256(b"x")]
    assert len(list(anywhere.iterate())) == 2


def test_an_absent_object_is_named(anywhere: ObjectStore) -> None:
    absent = sha256(b"never")
    assert not anywhere.has(absent)
    for read in (anywhere.get, anywhere.size):
        with pytest.raises(ObjectMissing, match=absent):
            read(absent)


def test_deleting_is_final_and_repeatable(anywhere: ObjectStore) -> None:
    digest = anywhere.put(b"x")
    anywhere.delete(digest)
    anywhere.delete(digest)
    assert not anywhere.has(digest)
    assert list(anywhere.iterate()) == []


def test_an_empty_store_needs_no_folder(anywhere: ObjectStore) -> None:
    assert list(anywhere.iterate()) == []


@pytest.mark.parametrize("name", ["", "abc", "../../etc/passwd", "A" * 64, "0" * 63 + "\n"])
def test_only_digests_name_objects(store: ObjectStore, name: str) -> None:
    for use in (store.get, store.has, store.size, store.delete):
        with pytest.raises(InvalidInput, match="64"):
            use(Digest(name))


@pytest.mark.parametrize("url", ["", "nosuch://x", "a\0b"])
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="objects"):
        ObjectStore.open(url)


@given(st.binary(min_size=1, max_size=64), st.integers(0))
def test_every_flipped_bit_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: bytes, position: int) -> None:
    folder = tmp_path_factory.mktemp("objects")
    store = ObjectStore.open(str(folder))
    digest = store.put(data)
    flip(path_of(folder, digest), position % len(data))
    with pytest.raises(ObjectDamaged, match=digest):
        store.get(digest)


def test_an_object_of_another_size_is_written_anew(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put(b"whole")
    target = path_of(tmp_path / "objects", digest)
    target.chmod(0o644)
    target.write_bytes(b"wh")
    with pytest.raises(ObjectDamaged):
        store.get(digest)
    store.put(b"whole")
    assert store.get(digest) == b"whole"


def test_objects_cannot_be_written_to(store: ObjectStore, tmp_path: Path) -> None:
    target = path_of(tmp_path / "objects", store.put(b"x"))
    assert stat.S_IMODE(target.stat().st_mode) == 0o444


def test_file_then_name_then_folder_are_made_durable_in_this_order(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watch_fsync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        seen.append("folder" if os.path.isdir(path) else "file")
        fsync(descriptor)

    def watch_rename(old: Path, new: Path) -> None:
        assert Path(old).parent == Path(new).parent
        seen.append("rename")
        rename(old, new)

    store.put(b"makes the folders")
    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(os, "rename", watch_rename)
    folder = tmp_path / "objects" / sha256(b"x")[:2]
    folder.mkdir(exist_ok=True)
    store.put(b"x")
    assert seen == ["file", "rename", "folder"]


def test_many_objects_are_synced_before_any_has_its_name(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.name.startswith(TEMPORARY):
            assert list(store.iterate()) == []
            seen.append(path.name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    digests = store.put_many(str(number).encode() for number in range(40))
    assert len(set(seen)) == 40
    assert sorted(digests) == list(store.iterate())
    assert len(files(tmp_path)) == 40


def test_a_failure_among_many_leaves_nothing_half_done(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = [str(number).encode() for number in range(40)]
    store.put_many(blobs[:5])
    fsync, count = os.fsync, iter(range(1000))

    def fail_in_the_middle(descriptor: int) -> None:
        if TEMPORARY in os.readlink(f"/proc/self/fd/{descriptor}") and next(count) == 20:
            raise OSError(errno.ENOSPC, "full")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_in_the_middle)
    with pytest.raises(StorageFull):
        store.put_many(blobs)
    assert len(files(tmp_path)) == 5
    monkeypatch.undo()
    assert [store.get(digest) for digest in store.put_many(blobs)] == blobs


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_half_done(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    kept = store.put(b"before")
    before = files(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr("kvault.objects.folder.open", full, raising=False)
        else:
            patch.setattr(os, step, full)
        with pytest.raises(StorageFull, match="disk is full") as caught:
            store.put(b"after")
    assert isinstance(caught.value, TryAgain)
    assert caught.value.exit_status == 75
    assert caught.value.where["object"] == sha256(b"after")
    assert files(tmp_path) == before
    assert store.get(kept) == b"before"
    assert store.get(store.put(b"after")) == b"after"


def test_a_write_that_stops_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The kernel itself stops the write, after the first thousand bytes."""
    program = """if True:
        import resource, sys
        from kvault.objects.failures import StorageFull
        from kvault.objects.store import ObjectStore
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            ObjectStore.open(sys.argv[1]).put(b"x" * 5000)
        except StorageFull as error:
            sys.exit(error.exit_status)
    """
    folder = tmp_path / "objects"
    assert subprocess.run([sys.executable, "-c", program, str(folder)], check=False).returncode == 75
    assert files(folder) == []


def test_a_refusing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file, not a folder")
    with pytest.raises(StorageError, match="objects"):
        ObjectStore.open(str(tmp_path / "objects")).put(b"x")


def test_what_a_killed_writer_left_is_no_object(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put(b"x")
    left = path_of(tmp_path / "objects", digest).with_name(f"{TEMPORARY}123-abc")
    left.write_bytes(b"half")
    (tmp_path / "objects" / "README").write_text("not ours")
    assert list(store.iterate()) == [digest]


def test_many_writers_of_one_object_agree(store: ObjectStore) -> None:
    data = os.urandom(100_000)
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(store.put, [data] * 32))
    assert digests == {sha256(data)}
    assert store.get(sha256(data)) == data


def test_documents_are_canonical_json(store: ObjectStore) -> None:
    digest = store.put_document({"b": 1, "a": "é"})
    assert store.get(digest) == '{"a":"é","b":1}'.encode()
    assert store.get_document(digest) == {"a": "é", "b": 1}
    for data in (b"\xff", b"[1]", b"{"):
        with pytest.raises(ObjectDamaged, match="JSON"):
            store.get_document(store.put(data))


def left_behind(folder: Path, digest: Digest, hours: float) -> Path:
    """A temporary file beside an object, as a killed writer leaves it, so many hours old."""
    path = path_of(folder, digest).parent / f"{TEMPORARY}1-{secrets.token_hex(8)}"
    path.write_bytes(b"half of")
    then = path.stat().st_mtime - hours * 3600
    os.utime(path, (then, then))
    return path


def test_what_killed_writers_left_is_swept_once_it_is_old(tmp_path: Path) -> None:
    store = ObjectStore.open(str(tmp_path))
    digest = store.put(b"one")
    old, young = left_behind(tmp_path, digest, 1.5), left_behind(tmp_path, digest, 0.5)
    store.put(b"two")
    assert old.exists(), "the folders are not looked through at each put"
    hour_ago = tmp_path.stat().st_mtime - 3601
    os.utime(tmp_path, (hour_ago, hour_ago))
    store.put(b"three")
    assert not old.exists()
    assert young.exists()
    assert [store.get(each) for each in map(sha256, (b"one", b"two", b"three"))] == [b"one", b"two", b"three"]
    assert len(list(store.iterate())) == 3
    again = left_behind(tmp_path, digest, 1.5)
    store.put(b"four")
    assert again.exists(), "a sweep counts for an hour"
