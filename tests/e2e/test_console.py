"""The console as an operator uses it: in by a link or a token, services found, orders given, by mouse and keyboard."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site
from tests.support.console import console
from tests.support.screen import Screen, screen

TOKEN = "a-token-of-operators"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    with screen(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def audited(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (site.folder / site.edges[0].name / "audit.jsonl").read_text().splitlines()]


def names(tab: Screen) -> list[str]:
    return list(tab.run("[...document.querySelectorAll('#rows .open')].map((each) => each.innerText)"))


def test_a_link_opens_the_console_and_orders_are_confirmed_and_noted(
    site: Site, image: Callable[..., Path], tab: Screen
) -> None:
    with Client(site.edges[0].url) as client:
        for name in ("con-a", "con-b", "con-c"):
            site.publish(image("hello"), name)
            assert client.get("/", host=f"{name}.test").status == 200

    def answer() -> int:
        with Client(site.edges[0].url) as client:
            return client.get("/", host="con-b.test").status

    with console(site.folder / site.edges[0].name) as running:
        tab.open(running.link)
        tab.until("document.querySelector('#health').innerText === 'ok'")
        assert "key=" not in tab.run("location.href")
        tab.key("/")
        for letter in "con-":
            tab.key(letter)
        tab.until("document.querySelectorAll('#rows tr').length === 3")
        assert sorted(names(tab)) == ["con-a", "con-b", "con-c"]
        tab.run("document.querySelector('th[data-sort=name] button').click()")
        tab.until("document.querySelector('th[aria-sort]').dataset.sort === 'name'")
        tab.until("document.querySelector('#rows .open').innerText === 'con-a'")
        tab.run("document.activeElement.blur()")
        for key in ("j", "j"):
            tab.key(key)
        assert tab.run("document.activeElement.innerText") == "con-b"
        tab.key("Enter")
        tab.until("document.querySelector('#facts').innerText.includes('con-b.test')")

        before = len(audited(site))
        tab.click("#hold")
        tab.until("document.querySelector('#confirm').open")
        assert tab.run("document.activeElement.id") == "confirm-no", "who presses Enter by mistake orders nothing"
        assert tab.text("#confirm-title") == "Hold con-b?"
        tab.key("Escape")
        tab.until("!document.querySelector('#confirm').open")
        assert (len(audited(site)), answer()) == (before, 200)
        tab.click("#hold")
        tab.click("#confirm-yes")
        tab.until("!document.querySelector('#release').hidden")
        assert answer() == 503
        last = audited(site)[-1]
        assert (last["path"], last["query"], last["status"]) == ("/-/hold", "service=con-b", 200)
        assert "uid" in last["who"]
        tab.click("#release")
        tab.click("#confirm-yes")
        tab.until("!document.querySelector('#hold').hidden")
        assert answer() == 200
        tab.key("Escape")
        tab.until("!document.querySelector('#service').open")
        assert not tab.problems
        tab.open("about:blank")
        tab.until("location.href === 'about:blank'")
        tab.open(running.link)
        tab.until("document.querySelector('#health').innerText === 'ok'", "the link is used, the tab knows its session")
        tab.run("sessionStorage.clear()")
        tab.open("about:blank")
        tab.until("location.href === 'about:blank'")
        tab.open(running.link)
        tab.until("document.querySelector('#refused').innerText.startsWith('This link has been used')")


def test_an_edge_on_an_address_asks_for_its_token(own_site: Site, tmp_path: Path, tab: Screen) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    edge = own_site.add_edge(config={"admin_listen": "127.0.0.1:0", "admin_token": str(tmp_path / "token")})

    def log_in(token: str) -> None:
        tab.run(f"document.querySelector('#token').value = {json.dumps(token)}")
        tab.run("document.querySelector('#login').requestSubmit()")

    tab.open(f"{edge.admin_url}/-/console")
    tab.until("!document.querySelector('#login').hidden")
    assert tab.run("document.activeElement.id") == "token"
    log_in("not-the-token-at-all")
    tab.until("document.querySelector('#refused').innerText === 'That is not the token.'")
    log_in(TOKEN)
    tab.until("document.querySelector('#health').innerText === 'ok'")
    assert tab.text("#none").startswith("No service has been asked for")
    tab.ask("Page.reload")
    tab.until("document.querySelector('#health').innerText === 'ok'")
    assert tab.run("document.cookie") == ""
    tab.click("#leave")
    tab.until("!document.querySelector('#login').hidden")
    tab.ask("Page.reload")
    tab.until("!document.querySelector('#login').hidden")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_what_is_written_can_be_read(site: Site, tab: Screen, dark: bool) -> None:
    """WCAG 2.2: contrast of 4.5 (1.4.3), names of controls (4.1.2), nothing wider than a phone (1.4.10)."""
    with console(site.folder / site.edges[0].name) as running:
        tab.look(width=360, height=800, dark=dark, phone=True)
        tab.open(running.link)
        tab.until("document.querySelector('#health').innerText === 'ok'")
        assert tab.run("document.documentElement.scrollWidth") <= 360
        assert tab.run(UNNAMED) == []
        assert tab.run(PALE) == []
        tab.look(width=1200, height=800)


UNNAMED = """[...document.querySelectorAll('button, input, select, dialog, section, table')].filter((each) => {
  const named = (each.getAttribute('aria-labelledby') ?? '').split(' ');
  const by = named.map((id) => document.getElementById(id)?.textContent ?? '').join('');
  return !(by || each.innerText || each.labels?.length || each.getAttribute('aria-label') || each.tagName === 'TABLE');
}).map((each) => each.id || each.outerHTML.slice(0, 80))"""
PALE = """(() => {
  const light = (text) => {
    const parts = text.match(/[\\d.]+/g).slice(0, 3).map((each) => each / 255);
    const [r, g, b] = parts.map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const says = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!says || !node.getClientRects().length || node.matches(':disabled, noscript, option, .skip')) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(under(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${node.tagName} ${node.className} ${node.textContent.slice(0, 30)}`);
  }
  return found;
})()"""
