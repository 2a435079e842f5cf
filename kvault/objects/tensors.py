"""Canonical safetensors files: equal content is equal bytes.

A file is valid safetensors that any reader opens; what the format leaves open is fixed here, as ``docs/format.md``
states it: the header is canonical JSON padded with spaces to a multiple of eight, tensors lie by falling item size and
then by name with no gap between them, and the one metadata entry ``kvault`` holds canonical JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kvault.errors import Damaged, InvalidInput
from kvault.ids import Canonical, canonical_json, nfc

Array = npt.NDArray[np.generic]

ENTRY = "kvault"
_DTYPES = {
    "F64": "<f8", "I64": "<i8", "U64": "<u8", "F32": "<f4", "I32": "<i4", "U32": "<u4",
    "F16": "<f2", "I16": "<i2", "U16": "<u2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES = {np.dtype(text).str: name for name, text in _DTYPES.items()}


class TensorsDamaged(Damaged):
    """The bytes are not a canonical tensor file."""

    code = "tensors-damaged"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"not a canonical tensor file: {what}", remedy="Run `kvault fsck`; restore the object from a copy."
        )


def encode_tensors(tensors: Mapping[str, Array], document: Canonical) -> bytes:
    """The one byte string that stands for ``tensors`` and their ``document``.

    Arrays may have any shape and memory order; bytes are little-endian in C order. Raises :class:`InvalidInput` for a
    type that safetensors lacks, and for a name that is empty, reserved or not in NFC.
    """
    arrays = {name: _array(name, value) for name, value in tensors.items()}
    header: dict[str, Canonical] = {"__metadata__": {ENTRY: canonical_json(document).decode("utf-8")}}
    chunks: list[bytes] = []
    offset = 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        data = arrays[name].tobytes(order="C")
        header[name] = {
            "dtype": _NAMES[arrays[name].dtype.str],
            "shape": list(arrays[name].shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    text = canonical_json(header)
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *chunks])


def decode_tensors(data: bytes) -> tuple[dict[str, Array], dict[str, object]]:
    """The arrays (read-only, by name) and the document of a canonical tensor file.

    Raises :class:`TensorsDamaged` for bytes that :func:`encode_tensors` would not have written.
    """
    header, body = _split(data)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or set(metadata) != {ENTRY} or not isinstance(metadata[ENTRY], str):
        raise TensorsDamaged("the header has no `kvault` entry")
    document = _json(metadata[ENTRY])
    tensors = {name: _tensor(name, entry, body) for name, entry in header.items()}
    try:
        canonical = encode_tensors(tensors, document) == data  # type: ignore[arg-type]
    except InvalidInput as error:
        raise TensorsDamaged(error.message) from None
    if not canonical:
        raise TensorsDamaged("the bytes are not in canonical order")
    return tensors, document


def _array(name: str, value: Array) -> Array:
    if not name or name.startswith("__") or name != nfc(name):
        raise InvalidInput(f"{name!r} cannot name a tensor", field="name", remedy="Use a plain name.")
    array = np.asarray(value)
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in _NAMES:
        raise InvalidInput(f"{array.dtype} cannot be stored", tensor=name, remedy="Convert it to float32 first.")
    return array.astype(dtype, copy=False)


def _split(data: bytes) -> tuple[dict[str, object], memoryview]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8 or length % 8:
        raise TensorsDamaged("the header's length is wrong")
    try:
        text = data[8 : 8 + length].decode("utf-8")
    except UnicodeDecodeError:
        raise TensorsDamaged("the header is not UTF-8") from None
    return _json(text), memoryview(data)[8 + length :]


def _json(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError:
        raise TensorsDamaged("the header is not JSON") from None
    if not isinstance(value, dict):
        raise TensorsDamaged("the header is not a JSON object")
    return value


def _tensor(name: str, entry: object, body: memoryview) -> Array:
    try:
        if not isinstance(entry, dict):
            raise TypeError
        dtype = np.dtype(_DTYPES[str(entry["dtype"])])
        start, end = (int(offset) for offset in entry["data_offsets"])
        shape = tuple(int(side) for side in entry["shape"])
        if not 0 <= start <= end <= len(body):
            raise ValueError
        return np.frombuffer(body[start:end], dtype).reshape(shape)
    except (KeyError, TypeError, ValueError):
        raise TensorsDamaged(f"the entry of tensor {name!r} is wrong") from None
