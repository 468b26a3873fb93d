"""Who a request is from: what is believed of a client's address, and by whom."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.proxies import names_unix, networks
from edge.front.reached import Reached
from edge.front.senders import ALL, ALL_BUT_ITS_FAMILY, NOTHING, Senders, is_of_proxies
from edge.model.flow import ClientError

PROXY = "10.0.0.1"


SENDERS = Senders(networks("10.0.0.0/8, fd00::/8,192.0.2.7"))


def encoded(fields: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in fields]


def told(peer: str, *fields: tuple[str, str], reached: Reached = Reached()) -> tuple[str, dict[str, str]]:  # noqa: B008
    """The client's address, and the variables."""
    sender = SENDERS.of(peer, encoded(fields), reached)
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
    forged = [(name, "198.51.100.1") for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host")]
    forged += [("X-Forwarded-Proto", "https"), ("Forwarded", "for=198.51.100.1;proto=https")]
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


@pytest.mark.parametrize(
    ("lines", "client", "way", "scheme", "host"),
    [
        (["for=203.0.113.9"], "203.0.113.9", "203.0.113.9, ", "http", ""),
        (["for=203.0.113.9;proto=https"], "203.0.113.9", "203.0.113.9, ", "https", ""),
        (["for=203.0.113.9;proto=https;host=a.test"], "203.0.113.9", "203.0.113.9, ", "https", "a.test"),
        (["for=198.51.100.1;proto=https, for=203.0.113.9"], "203.0.113.9", "198.51.100.1, 203.0.113.9, ", "http", ""),
        (
            ["for=203.0.113.9;proto=https;host=a.test", "for=10.1.1.1;proto=http;host=inner"],
            "203.0.113.9",
            "203.0.113.9, 10.1.1.1, ",
            "https",
            "a.test",
        ),
        (["for=203.0.113.9;proto=https", "for=_hidden;proto=http"], PROXY, "203.0.113.9, ", "http", ""),
        (["for=unknown;proto=https", "for=10.1.1.1;proto=http"], "10.1.1.1", "10.1.1.1, ", "https", ""),
        (["proto=https"], PROXY, "", "https", ""),
        (['for="[2001:DB8::1]:443";proto=ftp'], "2001:db8::1", "2001:db8::1, ", "http", ""),
    ],
)
def test_forwarded_counts_where_proxies_write_it_alone(
    lines: list[str], client: str, way: str, scheme: str, host: str
) -> None:
    fields = [("forwarded", line) for line in lines]
    forged = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.test"), ("X-Real-IP", "198.51.100.9")]
    address, variables = told(PROXY, *fields, *forged)
    assert (address, variables["HTTP_X_REAL_IP"]) == (client, client)
    assert variables["HTTP_X_FORWARDED_FOR"] == way + PROXY
    assert variables["HTTP_FORWARDED"] == ", ".join((*lines, f"for={PROXY}"))
    assert (variables["HTTP_X_FORWARDED_PROTO"], variables.get("HTTP_X_FORWARDED_HOST", "")) == (scheme, host)
    assert (variables.get("HTTPS"), variables.get("REQUEST_SCHEME")) == (
        ("on", "https") if scheme == "https" else (None, None)
    )
    assert SENDERS.of(PROXY, encoded(tuple(fields))).passes == ALL_BUT_ITS_FAMILY


def test_x_forwarded_for_goes_before_forwarded_which_is_dropped_then() -> None:
    """A proxy that adds to the one may pass a client's other on as it came, whatever is in it."""
    for forwarded in ("for=198.51.100.1;proto=https;host=evil.test", 'for="', "nonsense"):
        fields = ("X-Forwarded-For", "203.0.113.9"), ("Forwarded", forwarded)
        address, variables = told(PROXY, *fields)
        assert address == "203.0.113.9"
        assert variables == {
            "HTTP_X_REAL_IP": "203.0.113.9",
            "HTTP_X_FORWARDED_FOR": f"203.0.113.9, {PROXY}",
            "HTTP_X_FORWARDED_PROTO": "http",
        }
        assert SENDERS.of(PROXY, encoded(fields)).passes == ALL


@pytest.mark.parametrize("line", ['for="', 'for=", for=203.0.113.9', "for=203.0.113.9; proto=https", "203.0.113.9", ""])
def test_a_forwarded_that_two_could_read_in_two_ways_is_refused(line: str) -> None:
    """Else a client could have its proxy's own element not be read, and pass for the proxy."""
    for ask in (SENDERS.of, SENDERS.seen):
        with pytest.raises(ClientError) as refused:
            ask(PROXY, [(b"Forwarded", line.encode())])
        assert refused.value.refusal.status == 400
    assert told("203.0.113.9", ("Forwarded", line))[0] == "203.0.113.9", "nobody reads it"


@pytest.mark.parametrize(
    ("said", "secure"),
    [
        (["https"], True),
        (["HTTPS"], True),
        (["wss"], True),
        (["http"], False),
        (["https, http"], False),  # the last is the peer's own word
        (["http", "https"], True),
        (["on"], False),
        (["https\0"], False),
        ([], False),
    ],
)
def test_the_scheme_is_the_one_that_a_proxy_says(said: list[str], secure: bool) -> None:
    variables = told(PROXY, *(("X-Forwarded-Proto", text) for text in said))[1]
    assert variables["HTTP_X_FORWARDED_PROTO"] == ("https" if secure else "http")
    assert ("HTTPS" in variables, "REQUEST_SCHEME" in variables) == (secure, secure)


def test_a_proxy_header_may_say_that_the_client_came_by_tls() -> None:
    behind = Reached(80, "203.0.113.9", secure=True)
    variables = told("203.0.113.9", ("X-Forwarded-Proto", "http"), reached=behind)[1]
    assert (variables["HTTPS"], variables["HTTP_X_FORWARDED_PROTO"]) == ("on", "https")
    assert SENDERS.seen("203.0.113.9", [], behind) != SENDERS.seen("203.0.113.9", [])
    assert told(PROXY, ("X-Forwarded-Proto", "http"), reached=behind)[1]["HTTP_X_FORWARDED_PROTO"] == "http"


def test_whoever_comes_through_a_unix_socket_may_be_a_proxy() -> None:
    assert [names_unix(text) for text in ("unix", "10.0.0.0/8, unix", "unixes,10.0.0.0/8")] == [True, True, False]
    fields = [(b"X-Forwarded-For", b"203.0.113.9")]
    assert Senders(unix=True).of("", fields).address == b"203.0.113.9"
    assert Senders(networks("127.0.0.0/8")).of("", fields).address == b"203.0.113.9", "as it always was"
    for senders, peer in ((Senders(unix=True), "127.0.0.1"), (Senders(networks("10.0.0.0/8")), "")):
        assert senders.of(peer, fields).address == b"127.0.0.1"
        assert senders.of(peer, fields).passes == NOTHING


def test_what_makes_another_answer_is_told_from_what_does_not() -> None:
    """By which answers are kept: as many as guests can see URLs, and no more."""

    def seen(*fields: tuple[str, str], peer: str = PROXY) -> tuple[bytes, ...]:
        return SENDERS.seen(peer, encoded(fields))

    way, two = ("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.9;proto=https, for=10.1.1.1;proto=http")
    different = [
        seen(way),
        seen(way, ("X-Forwarded-Proto", "https")),
        seen(way, ("X-Forwarded-Host", "a.test")),
        seen(way, ("X-Original-Host", "a.test")),
        seen(two),
        seen(("Forwarded", "for=203.0.113.9;proto=https, for=198.51.100.1;proto=http")),
        seen(("Forwarded", "for=203.0.113.9;host=a.test")),
    ]
    assert len(set(different)) == len(different)
    assert seen(way, ("Forwarded", two[1])) == seen(way) == seen(("x-forwarded-for", "198.51.100.1")) == ()
    assert seen(("Forwarded", "for=203.0.113.9;proto=https")) == seen(("Forwarded", "for=203.0.113.7;proto=https"))
    assert seen(("X-Forwarded-Host", "a.test"), two, peer="198.51.100.1") == (), "its word counts for nobody"
    ports = {SENDERS.seen(peer, [], Reached(port)) for peer in (PROXY, "203.0.113.9") for port in (80, 443, 8443)}
    assert len(ports) == 3, "SERVER_PORT is of the listener, whatever Host says"


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
