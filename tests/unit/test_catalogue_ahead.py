"""A small catalogue is known before anybody asks for what is in it; of a large one, what somebody has asked for."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tuf.api.metadata import MetaFile

from edge.catalogue.ahead import wanted_ahead
from edge.catalogue.catalogue import Catalogue
from edge.catalogue.directory import Directory
from edge.catalogue.metadata import Fetcher
from edge.common.counters import Counters
from origin.model.publication import Publication
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.registry.store import Store
from tests.support.edges import until
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin
from vmimage.errors import OriginError

WHOLE = 1 << 20
SHOPS = [publication(f"shop-{number}", f"shop-{number}.example") for number in range(5)]

BIN, TENANT = MetaFile(3, 700), MetaFile(1, 300)
FILES = {"targets.json": MetaFile(1, WHOLE), "bin-a0.json": BIN, "tenant-zoe.json": TENANT, "bin-07.json": BIN}


@pytest.mark.parametrize(
    ("known", "whole_max", "wanted"),
    [
        ((), 1700, ["bin-07", "bin-a0", "tenant-zoe"]),
        ((), 1699, []),
        ((), 0, []),
        (("bin-07", "tenant-zoe"), WHOLE, ["bin-a0"]),
        (("bin-07", "bin-a0", "tenant-zoe"), WHOLE, []),
    ],
)
def test_all_that_is_missing_is_wanted_bins_first_or_nothing(
    known: tuple[str, ...], whole_max: int, wanted: list[str]
) -> None:
    assert wanted_ahead(FILES, known, whole_max) == wanted


def test_a_file_of_no_said_length_counts_as_the_largest_that_there_may_be() -> None:
    assert wanted_ahead({"bin-00.json": MetaFile(1)}, (), WHOLE) == []


class Origin:
    """One that can be asked, and that can be away."""

    def __init__(self, url: str, keys: Keys, folder: Path) -> None:
        self.url, self.keys = url, keys
        self.catalogue = Catalogue(folder, f"{url}/tuf/", keys.root, ahead_bytes=WHOLE)

    def publish(self, *publications: Publication) -> None:
        carry_out(publish(publications, self.keys.trust, self.keys.publisher, NOW), url=self.url, token=TOKEN)

    def known(self) -> set[str]:
        """Services and hosts that the edge finds without asking."""
        names = [shop.service for shop in SHOPS]
        found = {name for name in names if self.catalogue.find_service(name, ask=False)}
        return found | {name for name in names if self.catalogue.find_host(f"{name}.example", ask=False)}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("ahead") / "keys")


@pytest.fixture
def origin(tmp_path: Path, keys: Keys) -> Iterator[Origin]:
    store = Store(tmp_path / "store")
    with running_origin(store, keys) as url:
        yield Origin(url, keys, tmp_path / "edge")
    store.close()


def fetched(catalogue: Catalogue) -> int:
    """How many files there were."""
    count = 0
    while catalogue.fetch_ahead():
        count += 1
    return count


def test_what_nobody_has_asked_for_is_found_without_the_origin(origin: Origin, tmp_path: Path) -> None:
    catalogue = origin.catalogue
    assert not catalogue.fetch_ahead(), "of a catalogue that was not looked at yet"
    origin.publish(*SHOPS[:3])
    catalogue.refresh()
    assert origin.known() == set()
    assert fetched(catalogue) > 0
    assert origin.known() == {shop.service for shop in SHOPS[:3]}
    origin.publish(*SHOPS[3:])
    catalogue.refresh()
    fetched(catalogue)
    assert origin.known() == {shop.service for shop in SHOPS}
    assert not catalogue.fetch_ahead()
    again = Catalogue(tmp_path / "edge", "http://127.0.0.1:9/tuf/", origin.keys.root, ahead_bytes=WHOLE)
    assert again.find_service("shop-4", ask=False) is not None, "it is on disk"


def test_a_file_that_cannot_be_had_holds_up_no_other(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.publish(*SHOPS)
    catalogue = origin.catalogue
    catalogue.refresh()
    asked: list[str] = []
    real = Fetcher.download_bytes

    def first_is_gone(fetcher: Fetcher, url: str, max_length: int) -> bytes:
        asked.append(url)
        if len(asked) == 1:
            raise OriginError("gone")
        return real(fetcher, url, max_length)

    monkeypatch.setattr(Fetcher, "download_bytes", first_is_gone)
    with pytest.raises(OriginError):
        catalogue.fetch_ahead()
    assert fetched(catalogue) == len(set(asked)) - 1 > 0
    assert all(catalogue.find_service(shop.service) for shop in SHOPS), "who asks for the first one has it fetched"


def test_a_directory_learns_it_after_its_look_and_goes_on_with_news(origin: Origin) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(origin.publish, *SHOPS[:2])
        directory = Directory(origin.catalogue, Counters(), 60)
        watching = asyncio.create_task(directory.watch(lambda: 300.0))
        await until(lambda: origin.known() == {"shop-0", "shop-1"}, "what was there at the start")
        await asyncio.to_thread(origin.publish, *SHOPS[2:])
        directory.look_now()
        await until(lambda: origin.known() == {shop.service for shop in SHOPS}, "what came later")
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        directory.close()

    asyncio.run(scenario())


def test_a_directory_that_is_woken_during_a_look_looks_again(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        directory, looks = Directory(origin.catalogue, Counters(), 60), 0
        real = origin.catalogue.refresh

        def look() -> bool:
            nonlocal looks
            looks += 1
            if looks == 1:
                loop.call_soon_threadsafe(directory.look_now)
            return real()

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(origin.catalogue, "refresh", look)
        watching = asyncio.create_task(directory.watch(lambda: 300.0))
        await until(lambda: looks >= 2, "another look")
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        directory.close()

    asyncio.run(scenario())
