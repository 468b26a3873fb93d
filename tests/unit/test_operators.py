"""Who is answered on the operators' listener: a table."""

import pytest

from edge.operators.door import refused

TOKEN = "0123456789abcdef"
BEARER = (b"Authorization", b"Bearer " + TOKEN.encode())
Header = tuple[bytes, bytes]


def outcome(*headers: Header, host: str = "127.0.0.1", token: str = TOKEN, public: bool = False) -> str:
    problem = refused(headers, host, names=["ops.test", "192.0.2.7"], token=token, public=public)
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
        (b"sec-fetch-site", b"nonsense"),
    ],
)
def test_who_comes_from_a_web_page_is_refused_everywhere(header: Header, token: str) -> None:
    assert outcome(BEARER, header, token=token) == "403 from_a_web_page"


def test_a_unix_socket_asks_for_no_token_and_no_host() -> None:
    for host in ("", "localhost", "evil.test"):
        assert outcome((b"Sec-Fetch-Site", b"none"), host=host, token="") == ""


OWN = (b"Host", b"ops.test:9100")


@pytest.mark.parametrize(
    "headers",
    [
        ((b"Sec-Fetch-Site", b"same-origin"),),
        ((b"Sec-Fetch-Site", b"same-origin"), (b"Origin", b"http://ops.test:9100")),
        ((b"Origin", b"https://ops.test:9100"),),
    ],
)
def test_the_console_is_answered_on_an_address_with_the_token_and_nowhere_without(headers: tuple[Header, ...]) -> None:
    assert outcome(OWN, BEARER, *headers, host="ops.test") == ""
    assert outcome(OWN, *headers, host="ops.test") == "401 unauthorized"
    assert outcome(OWN, *headers, token="") == "403 from_a_web_page", "a name server may have pointed any page here"


@pytest.mark.parametrize(
    "origin",
    [b"http://ops.test", b"http://ops.test:9101", b"null", b"", b"http://ops.test:9100.evil.test", b"ops.test:9100"],
)
def test_a_page_of_another_origin_is_not_the_console(origin: bytes) -> None:
    fields = OWN, BEARER, (b"Origin", origin), (b"Sec-Fetch-Site", b"same-origin")
    assert outcome(*fields, host="ops.test") == "403 from_a_web_page"


def test_files_of_the_console_need_no_token_but_a_host_of_ours() -> None:
    assert outcome(public=True) == ""
    assert outcome((b"Sec-Fetch-Site", b"same-origin"), public=True) == ""
    assert outcome(host="evil.test", public=True) == "403 foreign_host"


def test_a_link_leads_to_the_console_from_anywhere_and_to_nothing_else() -> None:
    link = (b"Sec-Fetch-Site", b"cross-site"), (b"Sec-Fetch-Mode", b"navigate")
    assert outcome(*link, public=True) == ""
    assert outcome(BEARER, *link) == "403 from_a_web_page"
    assert (
        outcome((b"Sec-Fetch-Site", b"cross-site"), (b"Sec-Fetch-Mode", b"no-cors"), public=True)
        == "403 from_a_web_page"
    )
    assert outcome(*link, (b"Origin", b"http://evil.test"), public=True) == "403 from_a_web_page", "a form"
