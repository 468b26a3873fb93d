"""After a purge returns, no answer is served whose run began before it: runs, purges and requests in any order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from edge.cache.asked import Asked
from edge.cache.purges import Purge, Purges
from edge.cache.responses import Entry, Responses
from edge.cache.storing import Kept
from edge.common.counters import Counters
from tests.support.purged import is_named

KEPT = Kept(0, 60, 0, 0, False, (), (), "", "", frozenset())


def asked(target: str, service: str) -> Asked:
    return Asked("GET", (), service, "digest", "h.test", target)


class Purging(RuleBasedStateMachine):
    """Runs begin and end, purges come between: no answer that is served is of a run that began before its purge."""

    @initialize()
    def begin(self) -> None:
        self.store = Responses(1 << 30, 1 << 16, Purges(1000), Counters())
        self.clock = 0  # counts events
        self.purged: dict[tuple[str, str, str], int] = {}  # kind, service and selector: when
        self.runs: list[tuple[Asked, Kept, int, int]] = []  # with the number of the last purge, and when each began
        self.began: dict[Entry, int] = {}

    paths = st.sampled_from(["/a", "/a/b", "/a/b?c", "/d"])
    services = st.sampled_from(["s", "t"])
    tags = st.frozensets(st.sampled_from("xyz"))

    @rule(path=paths, service=services, tags=tags)
    def run_begins(self, path: str, service: str, tags: frozenset[str]) -> None:
        self.clock += 1
        request = asked(path, service)
        number = self.store.purges.scope(service).last
        self.runs.append((request, KEPT._replace(tags=tuple(tags)), number, self.clock))

    @rule(data=st.data())
    def run_ends(self, data: st.DataObject) -> None:
        if self.runs:
            request, kept, number, began = self.runs.pop(data.draw(st.integers(0, len(self.runs) - 1)))
            uri = request.key[2] + request.key[3]
            made = Entry(request, "t", number, kept, 200, b"", b"", b"", 0.0, uri, self.store.purges, ())
            self.began[made] = began
            self.store.put(made)

    @rule(
        kind=st.sampled_from(["all", "service", "uri", "prefix", "tag"]), service=services, path=paths, data=st.data()
    )
    def purge(self, kind: str, service: str, path: str, data: st.DataObject) -> None:
        self.clock += 1
        selector = {"uri": f"h.test{path}", "prefix": f"h.test{path}", "tag": data.draw(st.sampled_from("xyz"))}.get(
            kind, ""
        )
        whose = "" if kind == "all" else service if kind == "service" else data.draw(st.sampled_from(["", service]))
        self.store.purge(Purge(kind, whose, selector), 0.0)  # type: ignore[arg-type]
        self.purged[kind, whose, selector] = self.clock

    @rule(path=paths, service=services)
    def ask(self, path: str, service: str) -> None:
        found = self.store.find(asked(path, service))
        if isinstance(found, str):
            return
        began, uri = self.began[found], f"h.test{path}"
        for (kind, whose, selector), when in self.purged.items():
            names = is_named(kind, selector, uri, found.kept.tags)
            assert not (names and whose in ("", service) and when > began), (kind, whose, selector)


def test_no_answer_is_older_than_its_purge() -> None:
    run_state_machine_as_test(Purging, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
