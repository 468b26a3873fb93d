"""The examples that are to be copied do what their READMEs say, published and served as a user would."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import NUNATAK, Site, example
from tests.support.edges import eventually

# Runtimes are fetched and compiled by the first test that needs them: some minutes, once a machine.
pytestmark = pytest.mark.timeout(900)

EXAMPLES = example("peaks").parent


@pytest.fixture
def client(site: Site) -> Client:
    """A connection to the first edge."""
    return Client(site.edges[0].url)


def publish(site: Site, name: str, *options: str) -> str:
    """Build an example, and its host."""
    site.publish(site.build(EXAMPLES / name, *options, name=f"ex-{name}"), f"ex-{name}")
    return f"ex-{name}.test"


def test_list_names_every_example_and_each_has_a_readme() -> None:
    listed = set(re.findall(r"\]\(([\w.]+)\)", (EXAMPLES / "README.md").read_text()))
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert listed >= folders
    assert all((EXAMPLES / name).exists() for name in listed)
    assert all(
        (EXAMPLES / name / "README.md").exists() for name in ("peaks", "moon", "words", "airports", "wiki", "markdown")
    )


def test_peaks_draws_a_name_the_same_everywhere_and_knows_its_tag(site: Site, client: Client) -> None:
    host = publish(site, "peaks")
    drawing = client.get("/oslo.svg", host=host)
    assert (drawing.status, drawing.headers["content-type"]) == (200, "image/svg+xml")
    assert drawing.body.count(b"<path") == 6
    assert client.get("/oslo.svg", host=host).body == drawing.body
    assert client.get("/bergen.svg", host=host).body != drawing.body
    again = client.request("GET", "/oslo.svg", host=host, headers={"If-None-Match": drawing.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    page = client.get(f"/?name={quote('<b>')}", host=host)
    assert b"&lt;b&gt;" in page.body
    assert b'src="%3c%62%3e.svg"' in page.body
    assert client.get("/%3c%62%3e.svg", host=host).status == 200
    assert client.get("/none", host=host).status == 404


def test_airports_are_found_in_json_and_on_a_page(site: Site, client: Client) -> None:
    host = publish(site, "airports")
    assert b'"iata": "KEF"' in client.get("/?q=kef", host=host).body
    page = client.request("GET", "/?q=san", host=host, headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert b"<td>San Diego" in page.body


def test_moon_shows_every_day_of_a_month(site: Site, client: Client) -> None:
    host = publish(site, "moon", "--cpu-ms", "2000")
    february = client.get("/?month=2028-02", host=host)
    assert february.status == 200
    assert february.body.count(b"<svg") == 1 + 29
    assert "February 2028" in february.body.decode()
    assert b"?month=2028-01" in february.body
    assert b"?month=2028-03" in february.body
    # Full on 2028-02-10 15:04 UTC, new on 2028-02-25 10:37 UTC (Meeus, Astronomical Algorithms, chapter 49).
    names = re.findall(r'<li[^>]* title="([a-z ]+)"', february.body.decode())
    assert (names[9], names[24]) == ("full moon", "new moon")
    assert client.get("/?month=2028-13", host=host).status == 400
    assert client.get("/moon.json", host=host).headers["content-type"] == "application/json"
    assert client.request("POST", "/", host=host, body=bytes(7 << 20)).status == 200
    assert client.request("POST", "/", host=host, body=bytes(9 << 20)).status == 413


def test_words_are_counted_by_a_program_that_knows_nothing_of_us(site: Site, client: Client) -> None:
    host = publish(site, "words", "--cgi")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    counted = client.request("POST", "/", host=host, body=b"text=The+cat+and+the+%3Cdog%3E", headers=form)
    assert counted.status == 200
    assert b"5 words, 4 different" in counted.body
    assert b"&#60;dog&#62;" in counted.body
    assert b"words," not in client.get("/", host=host).body


def test_dev_shows_the_line_of_an_error_in_lua(tmp_path: Path) -> None:
    source = tmp_path / "moon"
    shutil.copytree(example("moon"), source)
    main = source / "main.lua"
    with Server("dev", [*NUNATAK, "dev", str(source), "--port", "0"], tmp_path) as server, Client(server.url) as client:
        while client.get("/").status != 200:
            pass
        good = main.read_text()
        main.write_text(good + "\nend")
        while (broken := client.get("/")).status == 200:
            pass
        line = good.count("\n") + 2
        assert broken.error == "build"
        assert f"main.lua:{line}: <eof> expected near 'end'" in broken.body.decode()
        main.write_text(good.replace("return page(request)", "return page(nothing)"))
        while (failed := client.get("/")).error == "build" or failed.status == 200:
            pass
        assert failed.status == 500
        said = re.compile(r"guest \| main.lua:\d+: attempt to index a nil value")
        eventually(lambda: said.search(server.log.read_text()) is not None, "what the program said is on the terminal")


def test_hello_and_json_in_javascript(site: Site, client: Client) -> None:
    hello = publish(site, "hello.js")
    assert [client.get("/x", host=hello).body for _ in range(2)] == [
        b"hello from /x, request 1\n",
        b"hello from /x, request 2\n",
    ]
    peaks = publish(site, "json.js")
    high = json.loads(client.get("/?above=2400", host=peaks).body)["peaks"]
    assert [peak["name"] for peak in high] == ["Galdhøpiggen", "Glittertind", "Store Skagastølstind", "Gunnbjørn Fjeld"]
    assert client.get("/?above=high", host=peaks).status == 400


def test_wiki_keeps_what_was_written_also_while_it_is_parked(site: Site, client: Client) -> None:
    host = publish(site, "wiki")
    home = client.get("/", host=host)
    assert b'<a href="./Nunatak" class="">Nunatak</a>' in home.body
    assert client.get("/Firn", host=host).status == 404
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for text in ("Old snow.", "<script>alert(1)</script> on [[N\u00e9v\u00e9]] & ice"):
        saved = client.request("POST", "/Firn", host=host, headers=form, body=f"text={quote(text)}".encode())
        assert (saved.status, saved.headers["location"]) == (303, "./Firn")
    site.park("ex-wiki")
    page = client.get("/Firn", host=host)
    assert page.tier == "parked"
    assert b"<script" not in page.body
    assert b"&#60;script&#62;alert(1)" in page.body
    assert 'class="missing">N\u00e9v\u00e9</a> &#38; ice' in page.body.decode()
    tag = page.headers["etag"]
    assert client.request("GET", "/Firn", host=host, headers={"If-None-Match": tag}).status == 304
    assert client.get("/Firn?history", host=host).body.count(b"<li>") == 2
    assert b"Old snow." in client.get("/Firn?revision=1", host=host).body
    assert b'href="./Firn"' in client.get("/search?q=ICE", host=host).body
    assert client.request("POST", "/Firn", host=host, headers=form, body=b"text=").status == 422
    assert client.get("/%ff", host=host).status == 400


def test_markdown_is_rendered_by_a_package_from_npm_and_nothing_in_it_runs(site: Site, client: Client) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is needed to fetch the package")
    host = publish(site, "markdown")
    assert b"<h1>Nunataks</h1>" in client.get("/", host=host).body
    source = "# A *b*\n\n<img src=x onerror=alert(1)>\n\n[x](javascript:alert(1)) [y](https://a.test/?a=1&b)\n\n|a|\n|-|\n|1|\n"
    page = client.request("POST", "/", host=host, headers={"Content-Type": "text/markdown"}, body=source.encode())
    text = page.body.decode()
    assert "<h1>A <em>b</em></h1>" in text
    assert "<td>1</td>" in text
    assert "<img" not in text
    assert "javascript:" not in text
    assert 'href="https://a.test/?a=1&#38;b"' in text
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert b"<h2>two</h2>" in client.request("POST", "/", host=host, headers=form, body=b"source=%23%23+two").body
