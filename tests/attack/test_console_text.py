"""What guests, clients and publishers write reaches an operator's browser: is any of it more than text there?"""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site
from tests.support.console import console
from tests.support.screen import Screen, screen

PROGRAM = Path(__file__).with_name("programs") / "shouts.c"
MARKUP = '<img src="x" onerror="window.owned=1"><script>window.owned=1</script><b id="forged">'
ESCAPES = "\x1b[31m\x1b]0;owned\x07\u202egnp\u2066"
HOSTILE = MARKUP + ESCAPES


@pytest.fixture(scope="module")
def tab(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    site.publish(site.build(PROGRAM), "ct-shouts")
    with console(site.folder / site.edges[0].name) as running, screen(tmp_path_factory.mktemp("browser")) as opened:
        opened.open(running.link)
        opened.until("document.querySelector('#health').innerText !== 'not connected'")
        yield opened


def harmless(tab: Screen, selector: str) -> str:
    """What an element says, which has markup as text and is nothing else."""
    text = str(tab.run(f"document.querySelector({json.dumps(selector)}).textContent"))
    assert "onerror" in text
    assert not set(text) & set("\x1b\x07\u202e\u2066")
    assert tab.run("window.owned ?? 'safe'") == "safe"
    assert tab.run("document.querySelectorAll('#forged, script:not([src]), img:not([alt=\"\"])').length") == 0
    return text


def test_what_a_guest_logs_and_what_a_client_asked_when_it_died(site: Site, tab: Screen) -> None:
    with Client(site.edges[0].url) as client:
        assert client.get(f"/{quote(HOSTILE)}", host="ct-shouts.test").status == 200
        assert client.get(f"/{quote(HOSTILE)}?die", host="ct-shouts.test").status == 502
    tab.until("[...document.querySelectorAll('#crashes .open')].some(each => each.innerText === 'ct-shouts')")
    harmless(tab, "#crashes")
    tab.run("[...document.querySelectorAll('#crashes .open')].find(each => each.innerText === 'ct-shouts').click()")
    tab.until("document.querySelector('#reports details') && document.querySelectorAll('#log li').length > 1")
    assert "GET /<img" in harmless(tab, "#reports")
    assert "/<img" in harmless(tab, "#log")
    tab.key("Escape")
    tab.until("!document.querySelector('#service').open")
    assert not tab.problems


def test_names_that_no_catalogue_has(tab: Screen) -> None:
    """The edge takes no such names; whoever shows them does not rely on that."""
    numbers = dict.fromkeys(("requests", "waiting", "crashes", "resident_bytes", "parked_bytes", "rate", "machines"), 0)
    unknown = dict.fromkeys(("p50_ms", "p99_ms", "hits", "worker", "held_since"))
    entry = {
        "service": HOSTILE,
        "tier": HOSTILE,
        "state": HOSTILE,
        "version": 1,
        "quarantined": False,
        **numbers,
        **unknown,
    }
    view = {"query": {"offset": 0}, "total": 1, "services": [entry], "edge": {"services": 1}}
    tab.click("#pause")
    tab.run(f"import('/-/console/services.js').then((it) => it.drawServices({json.dumps(view)}, () => {{}}))")
    harmless(tab, "#rows")
    edge = f"import('/-/console/edge.js').then((it) => it.state({json.dumps(HOSTILE)}))"
    tab.run(edge)
    harmless(tab, "#health")


def test_no_text_becomes_markup_or_code_by_any_other_way(tab: Screen) -> None:
    sinks = {
        "markup": "document.body.innerHTML = '<b id=forged>'",
        "code": "new Function('window.owned = 1')()",
        "text as code": "window['ev' + 'al']('window.owned = 1')",
        "a handler": "document.body.setAttribute('onclick', 'window.owned = 1')",
    }
    for name, script in sinks.items():
        assert tab.run(f"(() => {{ try {{ {script}; return 'done' }} catch (error) {{ return error.name }} }})()") in (
            "TypeError",
            "EvalError",
        ), name
    assert tab.run("window.owned ?? 'safe'") == "safe"
