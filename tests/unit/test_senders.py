"""Who a request is from: what is believed of a client's address, and by whom."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.proxies import networks
from edge.front.senders import Senders, is_of_proxies

PROXY = "10.0.0.1"


def told(peer: str, *fields: tuple[str, str]) -> tuple[str, dict[str, str]]:
    """The client's address, and the variables."""
    senders = Senders(networks("10.0.0.0/8, fd00::/8,192.0.2.7"))
    sender = senders.of(peer, [(name.encode(), value.encode()) for name, value in fields])
    parts = sender.variables.decode().split("\0")
    assert parts.pop() == ""
    return sender.address.decode(), dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("", "127.0.0.1"),  # on a Unix socket
    ],
)
def test_a_client_is_who_is_at_the_other_end_whatever_it_says(peer: str, shown: str) -> None:
    forged = [(name, "198.51.100.1") for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP")]
    assert told(peer, *forged) == (shown, {"HTTP_X_REAL_IP": shown, "HTTP_X_FORWARDED_FOR": shown})


@pytest.mark.parametrize(
    ("passed", "client"),
    [
        ([], PROXY),
        (["203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the first is the client's own word
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.1.1.1"], "203.0.113.9"),  # one proxy vouches for the other
        (["203.0.113.9,192.0.2.7 , fd00::1"], "203.0.113.9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["2001:DB8:0::1"], "2001:db8::1"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, unknown"], PROXY),
        (["203.0.113.9, _hidden, 10.1.1.1"], "10.1.1.1"),
        (["999.1.1.1"], PROXY),
        (["203.0.113.9\\r\\n"], PROXY),
        (["203.0.113.9, "], PROXY),
        (["10.1.1.1"], "10.1.1.1"),
    ],
)
def test_proxies_that_the_operator_names_are_believed_as_far_as_they_go(passed: list[str], client: str) -> None:
    address, variables = told(PROXY, *(("x-forwarded-FOR", text) for text in passed), ("X-Real-IP", "forged"))
    assert (address, variables["HTTP_X_REAL_IP"]) == (client, client)
    assert variables["HTTP_X_FORWARDED_FOR"] == ", ".join((*passed, PROXY))


def test_the_peer_is_the_last_element_of_forwarded() -> None:
    _, variables = told("fd00::2", ("Forwarded", 'for="[2001:db8::1]";proto=https'), ("Forwarded", "for=unknown"))
    assert variables["HTTP_FORWARDED"] == 'for="[2001:db8::1]";proto=https, for=unknown, for="[fd00::2]"'
    assert told(PROXY)[1]["HTTP_FORWARDED"] == f"for={PROXY}"


@pytest.mark.parametrize(
    "name", [b"x-forwarded-proto", b"x-forwarded", b"client-ip", b"cf-connecting-ip", b"forwarded"]
)
def test_fields_of_proxies(name: bytes) -> None:
    assert is_of_proxies(name)
    assert not is_of_proxies(b"x-forward" + name[-1:])


def test_networks_are_those_that_are_meant() -> None:
    assert [str(network) for network in networks(" 10.0.0.0/8,::1 ,")] == ["10.0.0.0/8", "::1/128"]
    assert networks("") == ()
    for bad in ("10.0.0.1/8", "host", "10.0.0.0/33", "*"):
        with pytest.raises(ValueError, match=re.escape(bad)):
            networks(bad)


@given(st.lists(st.text(st.characters(exclude_characters="\0", max_codepoint=255), max_size=30), max_size=4))
def test_whatever_a_proxy_passes_on_the_last_entry_is_the_edges_and_the_client_is_an_address(passed: list[str]) -> None:
    senders = Senders(networks(PROXY))
    sender = senders.of(PROXY, [(b"X-Forwarded-For", text.encode("latin-1")) for text in passed])
    variables = sender.variables.decode("latin-1").split("\0")
    assert variables[3].rpartition(",")[2].strip() == PROXY
    assert set(sender.address.decode()) <= set("0123456789abcdef:.")
