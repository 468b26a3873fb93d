"""The field Forwarded: RFC 7239 to the letter, and nothing that two could read in two ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.front.forwarded import Element, parse_forwarded

THREE = [Element("192.0.2.43"), Element("2001:db8:cafe::17"), Element()]


@pytest.mark.parametrize(
    ("lines", "elements"),
    [
        # The examples of RFC 7239 sections 4, 5, 6 and 7.
        (['for="_gazonk"'], [Element()]),
        (['For="[2001:db8:cafe::17]:4711"'], [Element("2001:db8:cafe::17")]),
        (["for=192.0.2.60;proto=http;by=203.0.113.43"], [Element("192.0.2.60", "http")]),
        (["for=192.0.2.43, for=198.51.100.17"], [Element("192.0.2.43"), Element("198.51.100.17")]),
        (["for=_hidden, for=_SEVKISEK"], [Element(), Element()]),
        (['for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown'], THREE),
        (["for=192.0.2.43", 'for="[2001:db8:cafe::17]", for=unknown'], THREE),
        # Others that it allows.
        (['for="192.0.2.43:47011"'], [Element("192.0.2.43")]),
        (['for="unknown:_a.b-c"'], [Element()]),
        (['for="[::ffff:192.0.2.43]"'], [Element("192.0.2.43")]),
        (["proto=HTTPS;host=Shop.example"], [Element(None, "https", "Shop.example")]),
        (['host="shop.example:8080";proto="https"'], [Element(None, "https", "shop.example:8080")]),
        (['for=192.0.2.1;secret="a, for=\\"x;y"\t ,\tfor=192.0.2.2'], [Element("192.0.2.1"), Element("192.0.2.2")]),
        (["for=192.0.2.1;;proto=http;"], [Element("192.0.2.1", "http")]),
        (['for="1\\92.0.2.1"'], [Element("192.0.2.1")]),
    ],
)
def test_what_proxies_say(lines: list[str], elements: list[Element]) -> None:
    assert parse_forwarded(lines) == elements


@pytest.mark.parametrize(
    "line",
    [
        "",
        ";",
        ",",
        "for=192.0.2.1,",
        ",for=192.0.2.1",
        "for=192.0.2.1,,for=192.0.2.2",
        "192.0.2.1",
        "for",
        "for=",
        'for="',
        'for="192.0.2.1',
        'for=192.0.2.1"',
        'for=", for=192.0.2.1',  # what a client's quotation would do to a proxy's own element
        "for=192.0.2.1 ;proto=http",
        "for=192.0.2.1; proto=http",
        "for =192.0.2.1",
        "for= 192.0.2.1",
        "for=192.0.2.1 for=192.0.2.2",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;FOR=192.0.2.2",
        "for=2001:db8::1",
        'for="2001:db8::1"',
        'for="[2001:db8::1"',
        'for="[192.0.2.1]x"',
        'for="[2001:db8::1%lo]"',
        "for=192.0.2.256",
        "for=192.0.02.1",
        "for=client.example",
        "for=_",
        'for="192.0.2.1:123456"',
        'for="192.0.2.1:"',
        'for="192.0.2.1, 192.0.2.2"',
        'by="2001:db8::1"',
        "by=proxy.example",
        'proto="ht tp"',
        "proto=1http",
        'host="a b"',
        'host="u@a"',
        'for="192.0.2.1\x01"',
        "for=192.0.2.1\x00",
        "for=192.0.2.1\xa0",
    ],
)
def test_what_is_said_in_no_such_words(line: str) -> None:
    assert parse_forwarded([line]) is None
    assert parse_forwarded(["for=192.0.2.9", line]) is None, "one line of it spoils the field"


ADDRESSES = st.ip_addresses()


@given(st.lists(ADDRESSES, min_size=1, max_size=5), st.sampled_from([", ", ",", "\t, "]))
def test_what_is_written_is_read(clients: list[object], between: str) -> None:
    texts = [f'for="[{each}]"' if ":" in str(each) else f"for={each}" for each in clients]
    together, apart = parse_forwarded([between.join(texts)]), parse_forwarded(texts)
    assert together == apart
    assert together is not None
    assert len(together) == len(clients)


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.text('for=";,\\ 1.[]:_', max_size=30))
def test_whatever_comes_it_is_read_or_not(some: str, more: str) -> None:
    for text in (some, more, f"for=192.0.2.1,{more}", f"{more},for=192.0.2.1"):
        elements = parse_forwarded([text])
        assert elements is None or (
            elements and all(set(e.client or "") <= set("0123456789abcdef:.") for e in elements)
        )
