"""The short ways of the JavaScript runtime end where the long ones do.

URLs of requests by offsets, header fields that are checked in C and made when they are asked for, and handlers that did
not wait.
"""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.guests import Guest
from tests.support.workers import WORKERS, worker_image

WORKER = WORKERS / "short_ways.js"
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def worker(engine: str) -> Guest:
    return Guest(worker_image(WORKER), cpu_ms=60_000)


def about(worker: Guest, host: str, target: str) -> tuple[bool, bool, object]:
    """Whether it went the short way, whether both ways gave the same, and what they gave."""
    found = json.loads(bytes(worker.get(target, HTTP_HOST=host).body))
    return found["plain"], found["same"], found["pairs"]


PLAIN_HOSTS = [
    *(
        "guest.test",
        "a",
        "127.0.0.1",
        "127.0.0.1:8080",
        "255.255.255.255:1",
        "guest.test:65535",
        "guest.test:0",
        "a..b",
        "xn-a",
        "",  # no Host at all: `localhost`
    ),
    *(
        "[::1]",
        "[::1]:8080",
        "[::]",
        "[1:2:3:4:5:6:7:8]",
        "[fe80::a:b]:443",
        "[1::2:0:0:3:4]",
        "[1:0:0:2::3]",
        "[2001:db8::]",
        "[0:1::]",
    ),
]
OTHER_HOSTS = [
    *(
        "127.0.0.01",
        "127.1",
        "256.0.0.1",
        "1.2.3.4.",
        "0x7f.1",
        "1.0xa",
        "7",
        "a.9",
        "guest.test:80",
        "xn--a",
        "xn--tda.test",
        "guest.test:080",
        "guest.test:",
    ),
    *(
        "guest.test:65536",
        "guest.test:1x",
        "GUEST.test",
        "gu%65st",
        "a b",
        "user@guest.test",
        ":8080",
        "a:1:2",
        "[::1",
        "[]",
    ),
    *(
        "[::01]",
        "[0:0::1]",
        "[::FF]",
        "[::1.2.3.4]",
        "[1:2::3:4:5:6:7]",
        "[1:2:3:4:5:6:7::]",
        "[::1]x",
        "[::1]:80",
        "[g::]",
    ),
    *("[0:0:1:2::3:4]", "[1::2:0:0:0:3]", "a_b", "\u00fc.test"),
]


@pytest.mark.parametrize("host", PLAIN_HOSTS)
def test_hosts_that_are_written_back_as_they_are_need_no_parser(worker: Guest, host: str) -> None:
    plain, same, pairs = about(worker, host, "/a/b.html?c=d%20e&f=(1)")
    assert (plain, same) == (True, True), pairs


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_hosts_are_parsed(worker: Guest, host: str) -> None:
    plain, same, pairs = about(worker, host, "/a/b.html?c=d%20e&f=(1)")
    assert (plain, same) == (False, True), pairs


@pytest.mark.parametrize(
    "target", ["/", "//", "/a//b/", "/a.b/..c/.../%20", "/?", "/?a?b", "/~a/@:!$&'()*+,;=[]|%2", "/?[]|{}^`\\"]
)
def test_targets_that_are_written_back_as_they_are_need_no_parser(worker: Guest, target: str) -> None:
    expected = not re.search(r"/(\.|%2e)", target)
    plain, same, pairs = about(worker, "127.0.0.1:8080", target)
    assert (plain, same) == (expected, True), pairs


HOSTS = st.one_of(
    st.sampled_from(PLAIN_HOSTS + OTHER_HOSTS),
    st.ip_addresses().map(lambda address: f"[{address}]:8080" if address.version == 6 else str(address)),
    st.lists(st.sampled_from(["0", "0", "1", "ff", "", "a0"]), min_size=3, max_size=9).map(
        lambda groups: f"[{':'.join(groups)}]"
    ),
    st.text("0179a.:x-", max_size=12),
    st.text(st.characters(min_codepoint=1, max_codepoint=0x17F), max_size=8),
)
TARGETS = st.one_of(
    st.text("/.%2eE5?&=+a#\\", max_size=16),
    st.text(st.characters(min_codepoint=1, max_codepoint=0x17F), max_size=12),
).map(lambda text: "/" + text)


@SETTINGS
@given(host=HOSTS, target=TARGETS)
def test_any_url_has_the_same_parts_both_ways(worker: Guest, host: str, target: str) -> None:
    _, same, pairs = about(worker, host, target)
    assert same, pairs


TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
TEXTS = st.one_of(
    st.text("aZ-9_!", max_size=8),
    st.text(st.characters(max_codepoint=0x180), max_size=6),
    st.text(" \t\r\nab\u00e9", max_size=6),
    st.text("aB", min_size=190, max_size=210),
)


@SETTINGS
@given(names=st.lists(TEXTS, max_size=20), values=st.lists(TEXTS, max_size=20))
def test_names_and_values_of_fields_are_those_of_the_standard(
    worker: Guest, names: list[str], values: list[str]
) -> None:
    """RFC 9110, section 5.6.2, and the Fetch Standard's header value."""

    def value_of(text: str) -> str:
        trimmed = text.strip(" \t\r\n")
        return "TypeError" if re.search("[\0\r\n]|[^\0-\xff]", trimmed) else trimmed

    body = json.dumps({"names": names, "values": values}).encode()
    response = worker.get("/fields", method="POST", body=body, CONTENT_TYPE="application/json")
    found = json.loads(bytes(response.body))
    assert found[0] == [name.lower() if TOKEN.fullmatch(name) else "TypeError" for name in names]
    assert found[1] == [value_of(value) for value in values]


@pytest.mark.parametrize(("path", "late"), [("/then", "yes"), ("/microtask", "two late")])
def test_what_the_handler_left_to_do_is_done_before_the_answer(worker: Guest, path: str, late: str) -> None:
    """As far as it was before: one job for what is awaited, and what was queued before that job."""
    found = worker.get(path).headers.get("x-late")
    assert found == (late if path == "/then" else None)


@pytest.mark.parametrize("path", ["/subclass", "/thenable", "/nested", "/waits", "/wait-until"])
def test_whatever_the_handler_gives_is_waited_for(worker: Guest, path: str) -> None:
    response = worker.get(path)
    assert (response.status, bytes(response.body)) == (200, b"now")


def test_a_subclass_of_promises_is_asked(engine: str) -> None:
    worker = Guest(worker_image(WORKER))
    worker.get("/subclass")
    assert b"then of a subclass" in worker.log


def test_wait_until_runs_in_the_order_of_the_program(engine: str) -> None:
    worker = Guest(worker_image(WORKER))
    worker.get("/wait-until")
    assert re.findall(rb"one|two|three", worker.log) == [b"one", b"three", b"two"]


def test_a_promise_of_something_else_is_an_error(engine: str) -> None:
    worker = Guest(worker_image(WORKER))
    assert worker.get("/wrong").status == 500
    assert b"did not resolve to 'Response'" in worker.log


def test_fields_can_be_asked_for_when_the_request_has_ended(worker: Guest) -> None:
    worker.get("/keep", HTTP_X_GIVEN="gr\u00fcn", CONTENT_TYPE="text/x", CONTENT_LENGTH="0")
    worker.get("/then", HTTP_X_GIVEN="other")
    found = json.loads(bytes(worker.get("/kept").body))
    assert found == [
        ["content-length", "0"],
        ["content-type", "text/x"],
        ["host", "guest.test"],
        ["x-given", "gr\u00fcn"],
    ]


def test_json_keeps_a_type_that_was_given_and_refuses_where_there_is_no_body(worker: Guest) -> None:
    assert worker.get("/json-type").headers["content-type"] == "text/x"
    assert bytes(worker.get("/json-empty").body) == b"refused"
