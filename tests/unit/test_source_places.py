"""What do options say of sources, and where do these have things?"""

import pytest

from edge.config.options import load_config
from edge.config.sources import SOURCES_MAX, parse_place, parse_places
from edge.parent.options import load_parent_config
from vmimage.errors import OperatorError

DIGEST = "sha256:" + "ab" * 32
HEXES = "ab" * 32


@pytest.mark.parametrize(
    ("text", "blob", "metadata"),
    [
        ("http://origin", f"http://origin/v2/images/blobs/{DIGEST}", "http://origin/tuf/"),
        ("https://o.example:8443/at/", f"https://o.example:8443/at/v2/images/blobs/{DIGEST}", "https://o.example:8443/at/tuf/"),
        ("oci+https://r.example/team/images", f"https://r.example/v2/team/images/blobs/{DIGEST}", ""),
        ("oci+http://[::1]:5000/a__b/c-d.e", f"http://[::1]:5000/v2/a__b/c-d.e/blobs/{DIGEST}", ""),
        ("files+https://b.example", f"https://b.example/blobs/sha256/ab/{HEXES}", "https://b.example/tuf/"),
        ("files+http://b.example/p/q/", f"http://b.example/p/q/blobs/sha256/ab/{HEXES}", "http://b.example/p/q/tuf/"),
    ],
)  # fmt: skip
def test_places(text: str, blob: str, metadata: str) -> None:
    place = parse_place(text)
    assert (place.content_url("blobs", DIGEST), place.metadata_url, place.text) == (blob, metadata, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "origin", "ftp://o", "http://", "http://o?x=1", "http://o#x", "http://user:secret@o", "http://o:0"),
        *("oci+https://r", "oci+https://r/", "oci+https://r/Upper", "oci+https://r/a//b", "oci+https://r/a/../b"),
        *("oci+r.example/images", "files+", "files+s3://bucket", "files+https://u@b/p", "s3+https://b/p"),
        "http://" + "o" * 600,
    ],
)
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_place(text)


def test_several_in_order_and_each_once() -> None:
    found = parse_places("http://a", "oci+http://b/c  files+http://d")
    assert [place.text for place in found] == ["http://a", "oci+http://b/c", "files+http://d"]
    assert len(parse_places("http://a", "files+http://a")) == 2
    # Named among the others the origin has its place there: a parent may come before it.
    found = parse_places("http://a", "http://parent http://a/ http://b")
    assert [place.base for place in found] == ["http://parent", "http://a", "http://b"]
    for others in ("http://a http://a/", "http://b http://b", " ".join(f"http://s{n}" for n in range(SOURCES_MAX))):
        with pytest.raises(ValueError, match="expected"):
            parse_places("http://a", others)
    with pytest.raises(ValueError, match="1 to"):
        parse_places("", "")


def test_an_edge_and_a_parent_say_which_option_is_wrong() -> None:
    edge = {"origin": "http://a", "trust": "/root.json", "cache": "/cache"}
    assert [place.text for place in load_config(None, edge | {"source": "http://b"}).places] == ["http://a", "http://b"]
    with pytest.raises(OperatorError, match=r"--source: .*expected"):
        load_config(None, edge | {"source": "b"})
    with pytest.raises(OperatorError, match="--origin: "):
        load_config(None, edge | {"origin": "files+http://a"})
    parent = {"source": "oci+http://a/b http://c", "cache": "/cache"}
    assert len(load_parent_config(None, parent, {}).places) == 2
    for wrong, why in (({"source": "x"}, "--source: "), ({"listen": "here"}, "--listen: "), ({"source": ""}, "1 to")):
        with pytest.raises(OperatorError, match=why):
            load_parent_config(None, parent | wrong, {})
    with pytest.raises(OperatorError, match="admin_token"):
        load_parent_config(None, parent | {"admin_listen": "127.0.0.1:9100"}, {})
