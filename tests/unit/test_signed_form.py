"""What signatures are over is what the library says, whoever encodes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import Metadata, MetaFile, Snapshot
from tuf.api.serialization import json as tuf_json

from vmimage import signed, signed_form
from vmimage.signed_form import signed_form as encoded

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_it_is_the_librarys_to_the_byte(value: Any) -> None:
    try:
        expected = encode_canonical(value)
    except FormatError:
        with pytest.raises(FormatError):
            encoded(value)
        return
    assert encoded(value) == expected


@pytest.mark.parametrize(
    "value",
    [{"b": 1, "a": 'é\x00\n\t"\\ \u2028'}, [-0, 10**30], {"a.1e5": ":1.5,[2e3"}, {"\U0001f600": "", "\uffff": ""}],
)
def test_what_the_encoders_could_say_otherwise(value: Any) -> None:
    assert encoded(value) == encode_canonical(value)


@pytest.mark.parametrize("value", [1.5, [1.5], [-1e300], [float("nan")], {"a": float("inf")}])
def test_numbers_that_canonical_json_has_not_are_refused(value: Any) -> None:
    with pytest.raises(FormatError):
        encoded(value)


def test_python_tuf_encodes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that no longer looks there would be as slow as before, and nobody told."""
    assert signed, "imports it"
    seen: list[object] = []

    def noted(value: Any) -> str:
        seen.append(value)
        return encoded(value)

    monkeypatch.setattr(tuf_json, "encode_canonical", noted)
    snapshot = Metadata(Snapshot(meta={"targets.json": MetaFile(1)}))
    assert json.loads(snapshot.signed_bytes) == snapshot.signed.to_dict()
    assert len(seen) == 1


def test_it_is_in_use() -> None:
    assert tuf_json.encode_canonical is signed_form.signed_form
