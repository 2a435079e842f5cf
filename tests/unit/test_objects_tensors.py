"""Canonical tensor files: valid safetensors, equal content equal bytes, nothing accepted that was not written so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kvault.errors import InvalidInput
from kvault.ids import nfc
from kvault.objects.tensors import TensorsDamaged, decode_tensors, encode_tensors

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).map(nfc)
names = names.filter(lambda name: not name.startswith("__"))
dtypes = st.sampled_from(["<f4", "<f8", "<f2", "<i8", "<i4", "<u2", "|i1", "|u1", "|b1"])
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
contents = st.dictionaries(names, arrays, max_size=5)


@given(contents)
def test_what_is_written_is_read(tensors: dict[str, Any]) -> None:
    read, document = decode_tensors(encode_tensors(tensors, {"who": "é"}))
    assert document == {"who": "é"}
    assert read.keys() == tensors.keys()
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


@given(contents)
def test_any_reader_of_safetensors_opens_it(tensors: dict[str, Any]) -> None:
    read = safetensors.numpy.load(encode_tensors(tensors, {}))
    assert {name: array.tobytes() for name, array in read.items()} == {
        name: array.tobytes() for name, array in tensors.items()
    }


@given(contents)
def test_the_order_of_names_does_not_matter(tensors: dict[str, Any]) -> None:
    assert encode_tensors(tensors, {}) == encode_tensors(dict(reversed(tensors.items())), {})


def test_memory_order_and_byte_order_do_not_matter() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    plain = encode_tensors({"a": array}, {})
    assert encode_tensors({"a": np.asfortranarray(array)}, {}) == plain
    assert encode_tensors({"a": array.astype(">f4")}, {}) == plain
    assert encode_tensors({"a": np.ascontiguousarray(array.T).T}, {}) == plain


@given(contents, st.data())
def test_no_changed_byte_of_the_header_passes(tensors: dict[str, Any], data: st.DataObject) -> None:
    good = encode_tensors(tensors, {"n": 1})
    header = 8 + int.from_bytes(good[:8], "little")
    bad = bytearray(good)
    bad[data.draw(st.integers(0, header - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read, document = decode_tensors(bytes(bad))
    except TensorsDamaged:
        return
    assert encode_tensors(read, document) == bytes(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\xff" * 16, (8).to_bytes(8, "little") + b"[]      ", b"\0" * 8])
def test_what_is_no_tensor_file_is_told(data: bytes) -> None:
    with pytest.raises(TensorsDamaged, match="not a canonical tensor file"):
        decode_tensors(data)


def test_a_file_of_another_writer_is_not_canonical() -> None:
    data = safetensors.numpy.save({"a": np.ones(2, np.float32)}, {"format": "np"})
    with pytest.raises(TensorsDamaged, match="kvault"):
        decode_tensors(data)


@pytest.mark.parametrize("name", ["", "__metadata__", "e\u0301"])
def test_a_name_that_cannot_stand_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        encode_tensors({name: np.ones(1, np.float32)}, {})


def test_a_type_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InvalidInput, match="complex"):
        encode_tensors({"a": np.ones(1, np.complex64)}, {})
