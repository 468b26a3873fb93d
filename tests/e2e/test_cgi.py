"""Does a CGI program that knows nothing of us serve pages over HTTP, anew for every request?"""

from pathlib import Path

from loadtest.fetch import Client
from loadtest.site import Site
from tests.guests import PROGRAMS


def test_a_cgi_program_serves_pages(site: Site, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "page").write_text("text")
    options = ("--cgi", "--files", str(tmp_path / "files"), "--env", "COLOUR=green")
    site.publish(site.build(PROGRAMS / "linux_cgi.c", *options, name="cgi"), "cgi")
    client = Client(site.edges[0].url)
    for _ in range(3):
        answer = client.get("/where?plain", host="cgi.test")
        assert (answer.status, answer.headers["x-served"]) == (201, "1")
        assert answer.body == b"GET /where green\n"
    moved = client.get("/?moved", host="cgi.test")
    assert (moved.status, moved.headers["location"]) == (302, "https://elsewhere.example/page")
    assert client.get("/?early", host="cgi.test").status == 502
    assert client.get("/?much", host="cgi.test").body.endswith(b"line 39999\n")
