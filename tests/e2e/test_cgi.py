"""Does a CGI program that knows nothing of us serve pages over HTTP, anew for every request?"""

from pathlib import Path

from loadtest.site.fetch import Client
from loadtest.site.site import Site
from tests.support.guests import PROGRAMS


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


def test_a_path_in_place_of_an_answer_is_answered_by_the_edge(site: Site) -> None:
    """RFC 3875 section 6.2.2."""
    site.publish(site.build(PROGRAMS / "linux_cgi.c", "--cgi", "--env", "COLOUR=red", name="local"), "local")
    client = Client(site.edges[0].url)
    for _ in range(2):  # cold, then parked between machines of one request each
        assert client.get("/a?local=/b", host="local.test").body == b"GET /b red\n"
    posted = client.request("POST", "/a?local=/c", body=b"not for /c" * 30_000, host="local.test")
    assert posted.body == b"GET /c red\n"
    assert client.get("/d?local=/e?much", host="local.test").body.endswith(b"line 39999\n")
    assert client.get("/~service/local/a?local=/~service/local/f").body == b"GET /f red\n"
    endless = client.get("/g?local=/g?local=" * 12 + "/h", host="local.test")
    assert (endless.status, endless.headers["x-nunatak-error"]) == (502, "guest_violation")


def test_a_redirect_to_a_path_of_another_service_is_left_to_the_client(site: Site) -> None:
    site.publish(site.build(PROGRAMS / "linux_cgi.c", "--cgi", "--env", "COLOUR=blue", name="bounds"), "bounds")
    client = Client(site.edges[0].url)
    assert client.get("/?local=/-/metrics", host="bounds.test").body == b"GET /-/metrics blue\n", "one of its own"
    for path, target in (
        ("/", "//elsewhere.example/"),
        ("/", "/~service/other/"),
        ("/~service/bounds/", "/-/metrics"),
    ):
        moved = client.get(f"{path}?local={target}", host="127.0.0.1" if len(path) > 1 else "bounds.test")
        assert (moved.status, moved.headers["location"]) == (302, target)
    moved = client.get("/~service/bounds/?local=/~service/other/", host="127.0.0.1")
    assert (moved.status, moved.headers["location"]) == (302, "/~service/other/")
    assert "x-nunatak-local" not in moved.headers


def test_a_path_beside_other_fields_is_left_to_the_client(site: Site) -> None:
    site.publish(site.build(PROGRAMS / "linux_cgi.c", "--cgi", name="more"), "more")
    moved = Client(site.edges[0].url).get("/?local-and-more", host="more.test")
    assert (moved.status, moved.headers["location"], moved.headers["x-more"]) == (302, "/else", "1")
