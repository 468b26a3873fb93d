"""Does a CGI program that knows nothing of us serve pages over HTTP, anew for every request?"""

from pathlib import Path

from loadtest.site import Site
from tests.guests import PROGRAMS


def test_a_cgi_program_serves_pages(site: Site, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "page").write_text("text")
    options = ("--cgi", "--files", str(tmp_path / "files"), "--env", "COLOUR=green")
    site.publish(site.build(PROGRAMS / "linux_cgi.c", *options, name="cgi"), "cgi")
    for _ in range(3):
        response = site.get("cgi", "/where?plain")
        assert response.status == 201
        assert response.headers["X-Served"] == "1"
        assert response.body == b"GET /where green\n"
    moved = site.get("cgi", "/?moved")
    assert (moved.status, moved.headers["Location"]) == (302, "https://elsewhere.example/page")
    assert site.get("cgi", "/?early").status == 502
    assert site.get("cgi", "/?much").body.endswith(b"line 39999\n")
