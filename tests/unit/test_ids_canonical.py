"""Canonical JSON and digests: one value, one byte string, on every machine."""

from __future__ import annotations

import json
import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.errors import InvalidInput
from kvault.ids import canonical_json, digest_of, is_digest, nfc, sha256

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_reading_it_back_gives_the_same_bytes(value: object) -> None:
    data = canonical_json(value)  # type: ignore[arg-type]
    assert canonical_json(json.loads(data)) == data


@given(st.dictionaries(text.map(nfc), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(mapping: dict[str, int]) -> None:
    assert digest_of(mapping) == digest_of(dict(reversed(mapping.items())))


@given(text)
def test_forms_of_the_same_text_have_one_digest(given_text: str) -> None:
    decomposed = unicodedata.normalize("NFD", given_text)
    assert digest_of(decomposed) == digest_of(unicodedata.normalize("NFC", given_text))


def test_a_day_is_its_iso_form() -> None:
    assert canonical_json({"day": date(2015, 1, 31)}) == b'{"day":"2015-01-31"}'


@pytest.mark.parametrize(
    ("value", "path"),
    [({"a": [1, 0.5]}, "$.a[1]"), ({1: "x"}, "$"), (["\ud800"], "$[0]"), ({"a": b"x"}, "$.a"), ({"a": {1, 2}}, "$.a")],
)
def test_what_has_no_canonical_form_is_refused_with_its_place(value: object, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        canonical_json(value)  # type: ignore[arg-type]
    assert caught.value.where["field"] == path


def test_a_digest_is_sixty_four_lower_case_digits() -> None:
    assert is_digest(sha256(b""))
    assert not is_digest(sha256(b"").upper())
    assert not is_digest(sha256(b"") + "\n")
    assert not is_digest("abc")
