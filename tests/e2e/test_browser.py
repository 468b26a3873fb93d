"""Do pages of the samples do in a real browser what they are for?"""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from loadtest.site.fetch import Client
from loadtest.site.site import Site, example
from tests.support.browser import Browser, play
from tests.support.edges import metrics

EVENTS = Path(__file__).parent / "workers" / "events.js"


def address(site: Site, host: str) -> str:
    """Of a service on the first edge, as a browser that resolves every name to this machine is told it."""
    return f"http://{host}:{urlsplit(site.edges[0].url).port}"


def test_events_are_seen_one_by_one_while_the_answer_goes_on(site: Site, tmp_path: Path) -> None:
    site.publish(site.build(EVENTS, name="events"), "br-events", "events.test")

    async def scene(running: Browser) -> None:
        async with running.tab(address(site, "events.test")) as tab:
            await tab.until("document.querySelector('#state')?.textContent === 'open'")
            for number in range(1, 4):
                with Client(site.edges[0].url) as client:
                    answer = await asyncio.to_thread(client.get, "/next", host="events.test")
                assert answer.body == b"1"
                await tab.until(f"document.querySelectorAll('#events li').length === {number}")
                assert await tab.evaluate("document.querySelector('#state').textContent") == "open"
            lines = await tab.evaluate("[...document.querySelectorAll('#events li')].map((line) => line.textContent)")
            assert lines == ["1 event 1", "2 event 2", "3 event 3"]

    play(tmp_path, scene)


def test_a_chat_of_two_windows_goes_on_across_a_park(site: Site, tmp_path: Path) -> None:
    site.publish(site.build(example("chat"), name="br-chat"), "br-chat", "chat.test")
    edge, people = site.edges[0], "document.querySelector('#people')?.textContent"
    said = "[...document.querySelectorAll('#said li')].map((line) => line.textContent).join('|')"

    async def scene(running: Browser) -> None:
        page = address(site, "chat.test")
        async with running.tab(f"{page}/?name=ada") as ada, running.tab(f"{page}/?name=bob") as bob:
            for tab in (ada, bob):
                await tab.until(f"{people} === 'ada, bob'")
                await tab.until("/^3 bytes came back/.test(document.querySelector('#echo').textContent)")
            for number, (tab, text) in enumerate(((ada, "Hello"), (bob, "<b>Good day</b>"))):
                parks = metrics(edge)["parks_total"]
                await asyncio.to_thread(site.park, "br-chat", edge)
                assert metrics(edge)["parks_total"] == parks + 1
                await tab.evaluate(
                    f"document.querySelector('#text').value = {text!r}; document.querySelector('button').click()"
                )
                expected = "|".join(("adaHello", "bob<b>Good day</b>")[: number + 1])
                for window in (ada, bob):
                    await window.until(f"({said}) === {expected!r}")

    play(tmp_path, scene)
