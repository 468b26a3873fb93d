"""Who is answered on the operators' listener: a table."""

import pytest

from edge.operators.door import refused

TOKEN = "0123456789abcdef"
BEARER = (b"Authorization", b"Bearer " + TOKEN.encode())
Header = tuple[bytes, bytes]


def outcome(*headers: Header, host: str = "127.0.0.1", token: str = TOKEN) -> str:
    problem = refused(headers, host, names=["ops.test", "192.0.2.7"], token=token)
    return "" if problem is None else f"{problem.refusal.status} {problem.refusal.reason}"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "ops.test", "192.0.2.7"])
def test_who_shows_the_token_under_a_host_of_ours_is_answered(host: str) -> None:
    assert outcome(BEARER, host=host) == ""


@pytest.mark.parametrize(
    "host", ["", "evil.test", "localhost", "127.0.0.1.evil.test", "192.0.2.8", "127.1", "2130706433"]
)
def test_a_host_that_a_name_server_could_have_pointed_here_is_refused_even_with_the_token(host: str) -> None:
    assert outcome(BEARER, host=host) == "403 foreign_host"


@pytest.mark.parametrize(
    "header",
    [
        (),
        (b"Authorization", b""),
        (b"Authorization", b"Bearer"),
        (b"Authorization", b"Bearer "),
        (b"Authorization", b"Bearer " + TOKEN[:-1].encode()),
        (b"Authorization", b"Bearer " + TOKEN.encode() + b"0"),
        (b"Authorization", b"bearer\t" + TOKEN.encode()),
        (b"Authorization", TOKEN.encode()),
        (b"Authorization", b"Basic " + TOKEN.encode()),
        (b"Authorization", b"Bearer " + bytes(range(128, 256))),
        (b"Cookie", b"token=" + TOKEN.encode()),
    ],
)
def test_without_the_token_nobody_is_answered_on_an_address(header: tuple[()] | Header) -> None:
    assert outcome(*[header] if header else []) == "401 unauthorized"


@pytest.mark.parametrize("token", [TOKEN, ""], ids=["address", "Unix socket"])
@pytest.mark.parametrize(
    "header",
    [
        (b"Origin", b"http://evil.test"),
        (b"oRiGiN", b"null"),
        (b"Origin", b""),
        (b"Origin", b"http://127.0.0.1"),
        (b"Sec-Fetch-Site", b"cross-site"),
        (b"Sec-Fetch-Site", b"same-site"),
        (b"sec-fetch-site", b"same-origin"),
    ],
)
def test_who_comes_from_a_web_page_is_refused_everywhere(header: Header, token: str) -> None:
    assert outcome(BEARER, header, token=token) == "403 from_a_web_page"


def test_a_unix_socket_asks_for_no_token_and_no_host() -> None:
    for host in ("", "localhost", "evil.test"):
        assert outcome((b"Sec-Fetch-Site", b"none"), host=host, token="") == ""
