"""Which service a request is for: hosts, targets, and what is none."""

import pytest

from edge.model import routes
from vmimage import errors


@pytest.mark.parametrize(
    ("host", "target", "expected"),
    [
        ("a.test", "/x?q=1", ("host", "a.test", "", "/x", "q=1")),
        ("A.Test.:8080", "/", ("host", "a.test", "", "/", "")),
        ("[::1]:80", "/", ("host", "[::1]", "", "/", "")),
        ("[0:0::1]", "/", ("host", "[::1]", "", "/", "")),
        ("", "/", ("host", "", "", "/", "")),
        (None, "/", ("host", "", "", "/", "")),
        (":80", "/", ("host", "", "", "/", "")),
        ("a.test", "/-/metrics?x", ("host", "a.test", "", "/-/metrics", "x")),
        ("evil", "http://b.test/p", ("host", "b.test", "", "/p", "")),
        ("evil", "HTTPS://b.test", ("host", "b.test", "", "/", "")),
        ("evil", "http://b.test?q=/", ("host", "b.test", "", "/", "q=/")),
        # services by their names, on the host that is for this
        ("names.test", "/~service/s1/x?y", ("service", "s1", "/~service/s1", "/x", "y")),
        ("NAMES.test.:81", "/~service/s1", ("service", "s1", "/~service/s1", "", "")),
        ("a.test", "http://names.test/~service/s1/", ("service", "s1", "/~service/s1", "/", "")),
        ("names.test", "/~service", ("host", "names.test", "", "/~service", "")),
        ("names.test", "/x/../~service/s1/", ("host", "names.test", "", "/x/../~service/s1/", "")),
        # and nowhere else
        ("a.test", "/~service/s1/x?y", ("host", "a.test", "", "/~service/s1/x", "y")),
        ("a.test", "/~service//x", ("host", "a.test", "", "/~service//x", "")),
        ("names.test", "http://a.test/~service/s1/", ("host", "a.test", "", "/~service/s1/", "")),
        ("sub.names.test", "/~service/s1/", ("host", "sub.names.test", "", "/~service/s1/", "")),
        ("", "/~service/s1/", ("host", "", "", "/~service/s1/", "")),
        ("a.test", "*", ("host", "a.test", "", "", "")),
        ("a.test", "/~x", ("host", "a.test", "", "/~x", "")),
    ],
)
def test_route(host: str | None, target: str, expected: tuple[str, ...]) -> None:
    route = routes.route(host, target, "names.test")
    assert route is not None
    assert (route.kind, route.name, route.script_name, route.path, route.query) == expected


def test_the_target_names_the_host_when_it_is_absolute() -> None:
    route = routes.route("evil.test", "http://good.test:81/")
    assert route is not None
    assert route.authority == "good.test:81"


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("a b", "/"),
        ('a b<script>"', "/"),
        ("a'b", "/"),
        ("a,b", "/"),
        ("a%2eb", "/"),
        ("u:p@a.test", "/"),
        ("a.test\n", "/"),
        ("a.test:", "http://"),
        ("a.test", "http:///x"),
        ("a.test", "http://u:p@a.test/"),
        ("a.test", "http://u@a.test/"),
        ("a.test", "http://a b/"),
        ("a.test", "http://a.test:x/"),
        ("a/b", "http://a.test/"),
        ("[::1", "/"),
        ("::1", "/"),
        ("[::1]x", "/"),
        ("[fe80::1%25lo]", "/"),
        ("[v1.x]", "/"),
        ("[1.2.3.4]", "/"),
        ("a:65536", "/"),
        ("a:-1", "/"),
        ("a:٣", "/"),
        ("a/b", "/"),
        ("a\x00b", "/"),
        ("a@b", "/"),
        ("a:b", "/"),
        ("ä.test", "/"),
        ("a" * 300, "/"),
        ("a.test", "example.org:443"),
        ("a.test", "ftp://a.test/"),
        ("names.test", "/~service//x"),
        ("names.test", "/~service/" + "a" * 300),
    ],
)
def test_what_is_malformed_is_no_route(host: str | None, target: str) -> None:
    assert routes.route(host, target, "names.test") is None


@pytest.mark.parametrize(
    ("text", "name"), [("A.test.", "a.test"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("[::1]", "[::1]")]
)
def test_hosts_that_operators_name(text: str, name: str) -> None:
    assert routes.named_host(text) == name


@pytest.mark.parametrize("text", ["", "a:80", "[::1]:80", "a b", "a/b", "http://a"])
def test_what_an_operator_cannot_name_as_a_host(text: str) -> None:
    with pytest.raises(errors.OperatorError, match="without a port expected"):
        routes.named_host(text)
