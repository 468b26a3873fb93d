"""Lines of the access log: what is in each form, and what of clients."""

import json

import pytest

from edge.access.clients import Shown, shown_by
from edge.access.lines import TEXT_MAX, combined_line, json_line
from edge.model.finished import CLIENT_GONE
from tests.support.requests_over import over


def test_an_object_has_all_that_is_known() -> None:
    assert json.loads(json_line(over(error="crashed", limit="cpu_ms=200"), "192.0.2.77")) == {
        "time": "2001-09-09T01:46:40.250000Z",
        "client": "192.0.2.77",
        "method": "GET",
        "host": "a.test",
        "target": "/page?a=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "whole": True,
        "sent_bytes": 142,
        "body_bytes": 42,
        "duration_s": 0.0025,
        "service": "a",
        "tenant": "acme",
        "release": 3,
        "tier": "resident",
        "cache": "miss",
        "error": "crashed",
        "limit": "cpu_ms=200",
        "guest_us": 350,
        "id": "e-1",
        "trace": "5" * 32,
        "referer": "http://b.test/",
        "agent": "curl/8",
    }


def test_what_is_not_known_is_left_out() -> None:
    nothing = over(
        trace=None,
        method="",
        host="",
        target="",
        service="",
        tenant="",
        release=0,
        tier="",
        cache="",
        run=None,
        fields=[],
    )
    assert json.loads(json_line(nothing, "")) == {
        "time": "2001-09-09T01:46:40.250000Z",
        "status": 200,
        "whole": True,
        "sent_bytes": 142,
        "body_bytes": 42,
        "duration_s": 0.0025,
        "id": "e-1",
    }


def test_combined_is_as_apache_has_it() -> None:
    assert combined_line(over(), "192.0.2.77") == (
        '192.0.2.77 - - [09/Sep/2001:01:46:40 +0000] "GET /page?a=1 HTTP/1.1" 200 42 "http://b.test/" "curl/8"'
    )


def test_combined_has_a_dash_for_what_is_not_there() -> None:
    gone = over(method="", target="", status=CLIENT_GONE, body_bytes=0, fields=[])
    assert combined_line(gone, "") == '- - - [09/Sep/2001:01:46:40 +0000] "-" - - "-" "-"'


def test_a_long_text_is_cut() -> None:
    finished = over(target="/" + "a" * 8000)
    assert len(json.loads(json_line(finished, ""))["target"]) == TEXT_MAX
    assert len(combined_line(finished, "")) < TEXT_MAX + 200


ADDRESSES: tuple[tuple[Shown, str, str], ...] = (
    ("address", "192.0.2.77", "192.0.2.77"),
    ("network", "192.0.2.77", "192.0.2.0"),
    ("network", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
    ("network", "::ffff:192.0.2.77", "192.0.2.0"),
    ("network", "fe80::1%eth0", "fe80::"),
    ("network", "no address", ""),
    ("network", "", ""),
    ("nothing", "192.0.2.77", ""),
)


@pytest.mark.parametrize(("way", "address", "shown"), ADDRESSES)
def test_of_a_client_is_shown_what_the_operator_wants(way: Shown, address: str, shown: str) -> None:
    assert shown_by(way)(address) == shown
