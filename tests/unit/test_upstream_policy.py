"""Whom the policy lets guests reach: URLs, addresses, and the edge's own listeners."""

import socket

import pytest

from edge.config.upstream_policy import (
    AddressRefused,
    Guard,
    UpstreamPolicy,
    UpstreamRefused,
    ends_in_number,
    is_local,
)

PUBLIC = UpstreamPolicy.parse("public")
EVERYTHING = UpstreamPolicy.parse("0.0.0.0/0, ::/0")
NAMED = ("https://api.example", "http://10.0.0.1:8080", "http://[::1]", "http://127.0.0.1")


@pytest.mark.parametrize("url", ["https://api.example/v1?q=1", "https://API.example:443/", "https://api.example"])
def test_named_upstreams_are_allowed(url: str) -> None:
    assert PUBLIC.check(url, NAMED).host == "api.example"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://api.example/", "not among the image's upstreams"),
        ("https://api.example:8443/", "not among the image's upstreams"),
        ("https://other.example/", "not among the image's upstreams"),
        ("https://api.example.other/", "not among the image's upstreams"),
        ("https://user:secret@api.example/", "without credentials"),
        ("https://user@api.example/", "without credentials"),
        ("ftp://api.example/", "http or https"),
        ("/relative", "absolute"),
        ("", "absolute"),
        ("https://", "absolute"),
        ("https://api.example/" + "x" * 9000, "characters"),
        ("http://10.0.0.1:8080/", "does not let guests reach 10.0.0.1"),
        ("http://[::1]/", "does not let guests reach ::1"),
        ("http://127.0.0.1/", "does not let guests reach 127.0.0.1"),
    ],
)
def test_other_urls_are_refused(url: str, reason: str) -> None:
    with pytest.raises(UpstreamRefused, match=reason):
        PUBLIC.check(url, NAMED)


# What `inet_aton` reads as 127.0.0.1 or 1.1.1.1; some clients and every libc pass hosts through it.
NUMERIC_HOSTS = """
    127.1 127.0.1 2130706433 017700000001 0177.0.0.1 0x7f.1 0x7f000001 0X7F000001 127.0.0.1. 127.0.0.01 127.0.0.0x1 0
    0x a.1 a.0x a.b.08 1.0.0.1.1 16843009 1.1.1.1. 1.1 256.256.256.256
""".split()


@pytest.mark.parametrize("host", NUMERIC_HOSTS)
@pytest.mark.parametrize("policy", [PUBLIC, EVERYTHING], ids=["public", "everything"])
def test_a_host_that_ends_in_a_number_is_a_canonical_address_or_refused(host: str, policy: UpstreamPolicy) -> None:
    origins = (f"http://{host.lower()}", f"http://{host.lower()}:81")  # the image names it, so the list is no obstacle
    for origin in origins:
        with pytest.raises(UpstreamRefused, match="does not let guests reach"):
            policy.check(origin, origins)


def test_a_canonical_address_and_a_name_with_digits_are_none_of_those() -> None:
    for origin in ("http://1.1.1.1", "http://1.example", "http://1-2-3.x1"):
        assert str(PUBLIC.check(origin, (origin,)).origin()) == origin
    assert not ends_in_number("example.0xyz")
    assert not ends_in_number("")


def test_full_width_digits_are_digits_before_they_are_judged() -> None:
    with pytest.raises(UpstreamRefused, match=r"does not let guests reach 127\.1"):
        PUBLIC.check("http://１２７.1/", ("http://127.1",))


# Every row of the IANA special-purpose address registries, by its first and a middle or last address, and whether we
# call it public. Where the registry says "globally reachable" and we do not, "stricter" says so.
REGISTRIES = [
    ("0.0.0.0", False, "this network"),
    ("0.1.2.3", False, "this network"),
    ("10.0.0.0", False, "private use"),
    ("10.255.255.255", False, "private use"),
    ("100.64.0.0", False, "shared address space"),
    ("100.127.255.255", False, "shared address space"),
    ("127.0.0.1", False, "loopback"),
    ("127.255.255.255", False, "loopback"),
    ("169.254.169.254", False, "link local"),
    ("172.16.0.0", False, "private use"),
    ("172.31.255.255", False, "private use"),
    ("192.0.0.0", False, "IETF protocol assignments"),
    ("192.0.0.7", False, "IPv4 service continuity prefix"),
    ("192.0.0.8", False, "IPv4 dummy address"),
    ("192.0.0.9", False, "port control protocol anycast (stricter)"),
    ("192.0.0.10", False, "TURN anycast (stricter)"),
    ("192.0.0.170", False, "NAT64/DNS64 discovery"),
    ("192.0.2.1", False, "documentation"),
    ("192.31.196.1", True, "AS112-v4"),
    ("192.52.193.1", True, "AMT"),
    ("192.88.99.1", False, "6to4 relay anycast, deprecated"),
    ("192.168.0.0", False, "private use"),
    ("192.168.255.255", False, "private use"),
    ("192.175.48.1", True, "direct delegation AS112"),
    ("198.18.0.0", False, "benchmarking"),
    ("198.19.255.255", False, "benchmarking"),
    ("198.51.100.1", False, "documentation"),
    ("203.0.113.1", False, "documentation"),
    ("224.0.0.1", False, "multicast"),
    ("239.255.255.255", False, "multicast"),
    ("240.0.0.0", False, "reserved"),
    ("255.255.255.255", False, "limited broadcast"),
    ("::1", False, "loopback"),
    ("::", False, "unspecified"),
    ("::ffff:169.254.169.254", False, "IPv4-mapped"),
    ("::ffff:127.0.0.1", False, "IPv4-mapped"),
    ("::7f00:1", False, "IPv4-compatible, deprecated"),
    ("::1.1.1.1", False, "IPv4-compatible, deprecated"),
    ("64:ff9b::7f00:1", False, "IPv4-IPv6 translation (stricter)"),
    ("64:ff9b::1.1.1.1", False, "IPv4-IPv6 translation (stricter)"),
    ("64:ff9b:1::7f00:1", False, "IPv4-IPv6 translation"),
    ("100::1", False, "discard only"),
    ("100:0:0:1::1", False, "dummy prefix"),
    ("2001::1", False, "Teredo"),
    ("2001:1::1", False, "port control protocol anycast (stricter)"),
    ("2001:1::2", False, "TURN anycast (stricter)"),
    ("2001:2::1", False, "benchmarking"),
    ("2001:3::1", False, "AMT (stricter)"),
    ("2001:4:112::1", False, "AS112-v6 (stricter)"),
    ("2001:10::1", False, "ORCHID, deprecated"),
    ("2001:20::1", False, "ORCHIDv2 (stricter)"),
    ("2001:30::1", False, "drone remote identification (stricter)"),
    ("2001:db8::1", False, "documentation"),
    ("2002:7f00:1::", False, "6to4"),
    ("2002:101:101::", False, "6to4"),
    ("2620:4f:8000::1", True, "direct delegation AS112"),
    ("3fff::1", False, "documentation"),
    ("5f00::1", False, "segment routing SIDs"),
    ("fc00::1", False, "unique local"),
    ("fd00::1", False, "unique local"),
    ("fe80::1", False, "link local"),
    ("fec0::1", False, "site local, deprecated by RFC 3879"),
    ("ff02::1", False, "multicast"),
    ("1.1.1.1", True, "an ordinary one"),
    ("9.255.255.255", True, "just before private use"),
    ("11.0.0.0", True, "just after private use"),
    ("100.63.255.255", True, "just before shared address space"),
    ("172.32.0.0", True, "just after private use"),
    ("223.255.255.255", True, "just before multicast"),
    ("::ffff:1.1.1.1", True, "IPv4-mapped: the kernel connects to 1.1.1.1"),
    ("2606:4700:4700::1111", True, "an ordinary one"),
    ("2001:200::1", True, "just after IETF protocol assignments"),
    ("4000::1", False, "not given out"),
    ("1fff::1", False, "not given out"),
]


@pytest.mark.parametrize(("address", "public", "_"), REGISTRIES, ids=[row[0] for row in REGISTRIES])
def test_public_is_what_the_registries_call_globally_reachable(address: str, public: bool, _: str) -> None:
    assert PUBLIC.reachable(address) is public


@pytest.mark.parametrize(
    "address", ["fe80::1%eth0", "fe80::1%1", "1.1.1.1 ", "2130706433", "127.1", "01.1.1.1", "x", ""]
)
@pytest.mark.parametrize("policy", [PUBLIC, EVERYTHING], ids=["public", "everything"])
def test_what_is_no_address_or_has_a_scope_is_never_reachable(address: str, policy: UpstreamPolicy) -> None:
    assert not policy.reachable(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "::ffff:0.0.0.0", "224.0.0.1", "ff02::1", "255.255.255.255"])
def test_some_are_reachable_for_nobody(address: str) -> None:
    assert not EVERYTHING.reachable(address)


@pytest.mark.parametrize(
    ("networks", "reachable", "not_reachable"),
    [
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["127.0.0.1", "1.1.1.1", "::ffff:127.0.0.1", "::10.1.2.3"]),
        ("::1/128", ["::1"], ["127.0.0.1", "::ffff:127.0.0.1"]),
        ("public, 64:ff9b::/96", ["64:ff9b::101:101"], ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::e000:1"]),
        ("64:ff9b::/96", [], ["64:ff9b::101:101", "1.1.1.1"]),
        ("64:ff9b::/96, 10.0.0.0/8", ["64:ff9b::a00:1"], ["64:ff9b::101:101"]),
        ("public, 2002::/16", ["2002:101:101::1"], ["2002:7f00:1::", "2002:a00:1::"]),
        ("public, 2001::/32", ["2001:0:101:101::fefe:fefe"], ["2001:0:101:101::80ff:fffe"]),
        ("", [], ["1.1.1.1", "::1", "127.0.0.1"]),
    ],
)
def test_the_operator_opens_networks(networks: str, reachable: list[str], not_reachable: list[str]) -> None:
    policy = UpstreamPolicy.parse(networks)
    assert [a for a in reachable if not policy.reachable(a)] == []
    assert [a for a in not_reachable if policy.reachable(a)] == []


def test_another_word_is_no_policy() -> None:
    with pytest.raises(ValueError, match="everywhere"):
        UpstreamPolicy.parse("everywhere")


# The edge's own listeners, whatever the operator opened.


def refused(guard: Guard, address: str, port: int) -> bool:
    try:
        guard.judge(address, port)
    except AddressRefused:
        return True
    return False


def test_own_listeners_are_never_reached() -> None:
    guard = Guard(EVERYTHING, lambda: [("127.0.0.1", 8080), ("::1", 8081)])
    assert refused(guard, "127.0.0.1", 8080)
    assert refused(guard, "::ffff:127.0.0.1", 8080)
    assert refused(guard, "::1", 8081)
    assert not refused(guard, "127.0.0.1", 8081)
    assert not refused(guard, "127.0.0.2", 8080)
    assert not refused(guard, "::1", 8080)


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_a_listener_on_all_addresses_is_a_listener_on_each_local_address(bound: str) -> None:
    guard = Guard(EVERYTHING, lambda: [(bound, 8080)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; the kernel chooses the address that it would send from
        ours = probe.getsockname()[0]
    for address in ("127.0.0.1", "127.1.2.3", "::1", ours):
        assert is_local(address), address
        assert refused(guard, address, 8080), address
        assert not refused(guard, address, 8081), address
    assert not refused(guard, "198.51.100.7", 8080), "of another machine"


def test_listeners_are_asked_for_at_every_connection() -> None:
    listeners: list[tuple[str, int]] = []
    guard = Guard(EVERYTHING, lambda: listeners)
    assert not refused(guard, "127.0.0.1", 8080)
    listeners.append(("127.0.0.1", 8080))
    assert refused(guard, "127.0.0.1", 8080)


def test_a_socket_is_made_only_for_what_may_be_reached() -> None:
    guard = Guard(UpstreamPolicy.parse("127.0.0.0/8, fe80::/10"), lambda: [("127.0.0.1", 8080)])
    stream = (socket.SOCK_STREAM, 0, "")
    with guard.socket((socket.AF_INET, *stream, ("127.0.0.1", 80))) as made:
        assert made.family == socket.AF_INET
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", 8080)),
        (socket.AF_INET, ("2130706433", 80)),
        (socket.AF_INET, ("1.1.1.1", 80)),
        (socket.AF_INET6, ("fe80::1", 80, 0, 2)),
        (socket.AF_INET6, ("::ffff:1.1.1.1", 80, 0, 0)),
    ):
        with pytest.raises(AddressRefused):
            guard.socket((family, *stream, address))
