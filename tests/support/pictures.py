"""Takes the pictures of the console that are in the documents: `python -m tests.support.pictures`.

An origin and an edge run for it, with ten thousand services and one that crashes. It takes some minutes, a browser, and
Pillow (of the extra `bench`), which makes the files small: few colours are as good.
"""

import io
import tempfile
import time
from pathlib import Path
from typing import Final

from PIL import Image

from loadtest.site.fetch import Client
from loadtest.site.site import Site, example
from tests.support.console import console
from tests.support.screen import Screen, screen

TARGET: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
MANY: Final = 10_000
COLOURS: Final = 128
WIDTH: Final = 1180
HEIGHT: Final = 760


def write(tab: Screen, name: str) -> None:
    """Keep what the window shows."""
    TARGET.mkdir(exist_ok=True)
    picture = Image.open(io.BytesIO(tab.picture())).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(TARGET / f"{name}.png", optimize=True)


def ask_all(site: Site, names: list[str]) -> None:
    """Ask every service once, and a few of them more often."""
    with Client(site.edges[0].url) as client:
        for name in names:
            assert client.get(f"/~service/{name}/").status == 200
        for turn in range(40):
            for name in names[: 60 - turn]:
                client.get(f"/~service/{name}/")


def main() -> None:
    """All pictures."""
    with tempfile.TemporaryDirectory() as folder, Site(Path(folder), edge_config={"refresh": 1}) as site:
        edge = site.edges[0]
        with console(site.folder / edge.name) as shown, screen(site.folder) as tab:
            tab.look(width=WIDTH, height=HEIGHT)
            tab.open(shown.link)
            tab.until("document.querySelector('#health').innerText === 'ok'")
            time.sleep(1)
            write(tab, "console-empty")
            site.publish(site.build(example("crash")), "shop")
            names = site.world(example("hello"), MANY, "page", images=2)
            ask_all(site, names)
            with Client(edge.url) as client:
                for path in ("/", "/null", "/"):
                    client.get(path, host="shop.test")
            tab.until("document.querySelectorAll('#rows tr').length === 50")
            tab.until("document.querySelector('#range').innerText.includes('10,001')")
            write(tab, "console-many")
            tab.look(width=WIDTH, height=HEIGHT, dark=True)
            time.sleep(1)
            write(tab, "console-dark")
            tab.look(width=390, height=844, phone=True)
            time.sleep(1)
            write(tab, "console-phone")
            tab.look(width=WIDTH, height=HEIGHT)
            tab.run("document.querySelector('#crashes .open').click()")
            tab.until("document.querySelector('#reports details')")
            time.sleep(3)
            write(tab, "console-crash")
            tab.click("#hold")
            tab.until("document.querySelector('#confirm').open")
            write(tab, "console-order")
            times = []
            for _ in range(10):
                began = time.perf_counter()
                with site.admin() as client:
                    assert client.get("/-/view?sort=name&limit=50&match=page").status == 200
                times.append(time.perf_counter() - began)
                time.sleep(1.1)
            print(f"a view of {MANY} services: {sorted(times)[5] * 1e3:.0f} ms, at most {max(times) * 1e3:.0f} ms")
            assert not tab.problems, tab.problems


if __name__ == "__main__":
    main()
