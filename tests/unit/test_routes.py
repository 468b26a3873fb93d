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
        # services by their names, on the host that is for this, or where no host is named
        ("names.test", "/~service/s1/x?y", ("service", "s1", "/~service/s1", "/x", "y")),
        ("NAMES.test.:81", "/~service/s1", ("service", "s1", "/~service/s1", "", "")),
        ("a.test", "http://names.test/~service/s1/", ("service", "s1", "/~service/s1", "/", "")),
        ("names.test", "/~service", ("host", "names.test", "", "/~service", "")),
        ("", "/~service/s1/x", ("service", "s1", "/~service/s1", "/x", "")),
        (None, "/~service/s1/", ("service", "s1", "/~service/s1", "/", "")),
        (":80", "/~service/s1/", ("service", "s1", "/~service/s1", "/", "")),
        # and on other hosts they are nobody's, however they are written
        ("a.test", "/~service/s1/x?y", ("nobody", "a.test", "", "/~service/s1/x", "y")),
        ("A.Test:80", "/~service//x", ("nobody", "a.test", "", "/~service//x", "")),
        ("names.test", "http://a.test/~service/s1/", ("nobody", "a.test", "", "/~service/s1/", "")),
        ("sub.names.test", "/~service/s1/", ("nobody", "sub.names.test", "", "/~service/s1/", "")),
        ("a.test", "/%7Eservice/s1/", ("nobody", "a.test", "", "/%7Eservice/s1/", "")),
        ("a.test", "/%7e%73ervice/s1/", ("nobody", "a.test", "", "/%7e%73ervice/s1/", "")),
        ("a.test", "/./~service/s1/", ("nobody", "a.test", "", "/./~service/s1/", "")),
        ("a.test", "//~service/s1", ("nobody", "a.test", "", "//~service/s1", "")),
        ("names.test", "/x/../~service/s1/", ("nobody", "names.test", "", "/x/../~service/s1/", "")),
        # while these are paths of sites
        ("a.test", "/-/merge_requests", ("host", "a.test", "", "/-/merge_requests", "")),
        ("a.test", "/~services/x", ("host", "a.test", "", "/~services/x", "")),
        ("a.test", "/a/~service/x", ("host", "a.test", "", "/a/~service/x", "")),
        ("a.test", "/a//~service/%41/..", ("host", "a.test", "", "/a//~service/%41/..", "")),
        ("a.test", "/?/~service/x", ("host", "a.test", "", "/", "/~service/x")),
        ("a.test", "*", ("host", "a.test", "", "", "")),
        ("a.test", "/~x", ("host", "a.test", "", "/~x", "")),
    ],
)
def test_a_host_and_a_target_lead_to_a_service(host: str | None, target: str, expected: tuple[str, ...]) -> None:
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
        ("", "/~service//x"),
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
