"""No answer is served whose run began before its purge: also from disk, and after kills, restarts and takings over."""

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from edge.cache.asked import Asked
from edge.cache.purges import Purge
from edge.cache.storing import Kept
from tests.support.kept_store import HOST, HOUR, KeptStore, asked
from tests.support.purged import is_named

T = TypeVar("T")
PATHS = ("/a", "/a/b", "/a/b?c", "/d")
SERVICES = ("s", "t")


class OnDisk(RuleBasedStateMachine):
    """Answers go to disk and come back, and the edge is killed, restarted and purged between."""

    paths, services = st.sampled_from(PATHS), st.sampled_from(SERVICES)

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.clock, self.copies = 0, itertools.count()  # the clock counts events
        self.purged: dict[tuple[str, str, str], int] = {}  # kind, service and selector: when
        self.runs: list[tuple[Asked, Kept, int, int]] = []  # with the number of the last purge, and when each began
        self.began: dict[bytes, int] = {}  # by the answer's body
        self.changed: dict[tuple[str, str], int] = {}  # URIs by service: when
        self.came: dict[bytes, int] = {}
        self.start(Path(self.folder.name))

    def start(self, folder: Path) -> None:
        async def made() -> KeptStore:
            return KeptStore(folder)

        self.store = self.run(made())
        self.runs.clear()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    @rule(path=paths, service=services, tags=st.frozensets(st.sampled_from("xyz")))
    def run_begins(self, path: str, service: str, tags: frozenset[str]) -> None:
        self.clock += 1
        number = self.store.purges.scope(service).last
        self.runs.append((asked(path, service=service), HOUR._replace(tags=tuple(sorted(tags))), number, self.clock))

    @rule(data=st.data(), evicted=st.booleans())
    def run_ends(self, data: st.DataObject, evicted: bool) -> None:
        if not self.runs:
            return
        page, kept, number, began = self.runs.pop(data.draw(st.integers(0, len(self.runs) - 1)))
        self.clock += 1
        body = b"%d" % self.clock
        self.began[body], self.came[body] = began, self.clock

        async def end() -> None:
            self.store.responses.put(self.store.entry(page, kept, body=body, run=number))
            found = self.store.responses.find(page)
            if evicted and not isinstance(found, str):
                await self.store.evict(found)

        self.run(end())

    @rule(path=paths, service=services)
    def evict(self, path: str, service: str) -> None:
        found = self.store.responses.find(asked(path, service=service))
        if not isinstance(found, str):
            self.run(self.store.evict(found))

    @rule(
        kind=st.sampled_from(["all", "service", "uri", "prefix", "tag"]), service=services, path=paths, data=st.data()
    )
    def purge(self, kind: str, service: str, path: str, data: st.DataObject) -> None:
        self.clock += 1
        named = {"uri": f"{HOST}{path}", "prefix": f"{HOST}{path}", "tag": data.draw(st.sampled_from("xyz"))}
        whose = "" if kind == "all" else service if kind == "service" else data.draw(st.sampled_from(["", service]))

        async def purge() -> None:
            self.store.responses.purge(Purge(kind, whose, named.get(kind, "")), self.loop.time())  # type: ignore[arg-type]
            assert await self.store.responses.settled()

        self.run(purge())
        self.purged[kind, whose, named.get(kind, "")] = self.clock

    @rule(path=paths, service=services)
    def change(self, path: str, service: str) -> None:
        self.clock += 1

        async def change() -> None:
            self.store.responses.drop_uri(service, f"{HOST}{path}")

        self.run(change())
        self.changed[service, f"{HOST}{path}"] = self.clock

    @rule()
    def is_killed(self) -> None:
        self.run(self.store.below.settled())
        killed = self.store.killed(f"killed-{next(self.copies)}")
        self.store.stop()
        self.start(killed)
        self.everything_holds()

    @rule()
    def is_restarted(self) -> None:
        self.run(self.store.close())
        self.start(self.store.folder)

    @rule(path=paths, service=services)
    def ask(self, path: str, service: str) -> None:
        self.holds(path, service)

    def everything_holds(self) -> None:
        for path, service in itertools.product(PATHS, SERVICES):
            self.holds(path, service)

    def holds(self, path: str, service: str) -> None:
        found = self.run(self.store.ask(asked(path, service=service)))
        if found is None:
            return
        began, uri = self.began[found.body], f"{HOST}{path}"
        assert self.came[found.body] > self.changed.get((service, uri), 0)
        for (kind, whose, selector), when in self.purged.items():
            names = is_named(kind, selector, uri, found.kept.tags)
            assert not (names and whose in ("", service) and when > began), (kind, whose, selector)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.is_killed()
            assert not self.store.counters.caches_rebuilt
            self.store.stop()
            self.loop.close()
            self.folder.cleanup()


def test_no_answer_is_older_than_its_purge_wherever_it_was_kept() -> None:
    run_state_machine_as_test(OnDisk, settings=settings(max_examples=12, stateful_step_count=25, deadline=None))
