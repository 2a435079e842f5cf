"""Where a base model's files lie, and the digest that names them.

A base is the demonstration model (``kvault/demo``), a local folder, or a hub id with a pinned revision. Only
safetensors are accepted, and code that comes with a model is refused unless the vault says otherwise. This module
reads files and must not load a model: the command line uses it without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from kvault.errors import Conflict, InvalidInput, NotFound, Unsupported
from kvault.ids import Digest, digest_of, is_digest

DEMO = "kvault/demo"
DEMO_FOLDER = Path(__file__).parent.parent / "demo" / "model"
WEIGHTS = ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
DESCRIPTIONS = (".json", ".txt", ".model", ".jinja")
"""Endings of the other files that decide what a model says: configuration, tokenizer, vocabulary, chat template."""


class BaseMissing(NotFound):
    """The base model, or a file that it needs, is not there."""

    code = "base-missing"


class BaseChanged(Conflict):
    """The base model's files are not those the vault was made with."""

    code = "base-changed"


class PickleRefused(Unsupported):
    """The weights are pickles, which run code when read."""

    code = "pickle-refused"


class RemoteCodeRefused(Unsupported):
    """The model wants to run code of its own."""

    code = "remote-code-refused"


class BaseDamaged(InvalidInput):
    """A file of the base model cannot be read."""

    code = "base-damaged"


@dataclass(frozen=True, slots=True)
class BaseSource:
    """A base model's files on this machine and the name a person gave them."""

    name: str
    path: Path
    trust_remote_code: bool = False


def resolve(base: str, *, trust_remote_code: bool = False) -> BaseSource:
    """The folder of ``base``, fetched from the hub where it is a hub id, with its files checked.

    Raises :class:`BaseMissing`, :class:`PickleRefused`, :class:`RemoteCodeRefused` or :class:`BaseDamaged`.
    """
    if base == DEMO:
        folder = DEMO_FOLDER
        if not folder.is_dir():
            raise BaseMissing(
                "the demonstration model is not there", file=folder, remedy="Train it: `python -m kvault.demo.train`."
            )
    else:
        folder = Path(base).expanduser()
        if not folder.is_dir():
            folder = _fetch(base)
    config = read_config(folder)
    if "auto_map" in config and not trust_remote_code:
        raise RemoteCodeRefused(
            "the model wants to run code that comes with it",
            base=base,
            field="auto_map",
            remedy="Set trust_remote_code = true in the vault's configuration if you trust its authors.",
        )
    _check_files(base, folder)
    return BaseSource(base, folder.resolve(), trust_remote_code)


def read_config(folder: Path) -> Mapping[str, object]:
    """The model's ``config.json``."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BaseMissing(
            "the folder holds no config.json", file=path, remedy="Point to a transformers model."
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BaseDamaged(
            f"the configuration cannot be read: {error}", file=path, remedy="Fetch the model anew."
        ) from error
    if not isinstance(config, dict):
        raise BaseDamaged("the configuration is not a mapping", file=path, remedy="Fetch the model anew.")
    return config


def fingerprint(source: BaseSource, cache: Path | None = None) -> Digest:
    """The digest of every file that decides what the model says: configuration, tokenizer and weights.

    ``cache`` is a folder in which the digest of a file is kept by its size and time of change.
    """
    known = _read_known(cache)
    digests: dict[str, str] = {}
    for path in _files(source.path):
        stat = path.stat()
        stamp = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
        if stamp not in known:
            known[stamp] = _file_digest(path)
        digests[path.name] = known[stamp]
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "base-files.json").write_text(json.dumps(known, sort_keys=True), "utf-8")
    return digest_of({"format": "kvault base 1", "files": digests})


def verify(source: BaseSource, expected: Digest, cache: Path | None = None) -> None:
    """Raise :class:`BaseChanged` unless the base model is the one whose fingerprint is ``expected``."""
    found = fingerprint(source, cache)
    if found != expected:
        raise BaseChanged(
            "the base model's files have changed since the vault was made",
            base=source.name,
            expected=expected[:12],
            found=found[:12],
            remedy="Put the original files back, or make a new vault for this model.",
        )


def _files(folder: Path) -> list[Path]:
    kept = (WEIGHTS, *DESCRIPTIONS)
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix in kept and path.name not in {"README.txt", "generation_config.json"}
    )


def _check_files(base: str, folder: Path) -> None:
    names = [path.name for path in folder.iterdir()]
    if not any(name.endswith(WEIGHTS) for name in names):
        pickles = sorted(name for name in names if name.endswith(PICKLES))
        if pickles:
            raise PickleRefused(
                "the weights are pickled, and reading a pickle runs code",
                base=base,
                file=pickles[0],
                remedy="Convert the weights to safetensors, or choose a revision that has them.",
            )
        raise BaseMissing("the folder holds no weights", base=base, file=folder, remedy="It needs a .safetensors file.")
    if not any(name.startswith("tokenizer") or name == "vocab.json" for name in names):
        raise BaseMissing("the folder holds no tokenizer", base=base, file=folder, remedy="It needs a tokenizer.json.")


def _fetch(base: str) -> Path:
    name, _, revision = base.partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BaseMissing("there is no such folder", base=base, remedy="Check the path of the base model.")
    if not revision:
        raise BaseMissing("a model of the hub needs a pinned revision", base=base, remedy=f"Write {name}@<commit>.")
    patterns = [f"*{ending}" for ending in (WEIGHTS, *DESCRIPTIONS)]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise BaseMissing(
            f"the hub did not give the model: {type(error).__name__}",
            base=base,
            remedy="Check the id, the revision and the network, or download the model and give its folder.",
        ) from error


def _file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_known(cache: Path | None) -> dict[str, str]:
    if cache is None or not (path := cache / "base-files.json").is_file():
        return {}
    try:
        known = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {str(stamp): str(digest) for stamp, digest in known.items() if is_digest(str(digest))}
