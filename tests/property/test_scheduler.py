"""Fair queueing against the fluid ideal, over workloads nobody thought of."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import assume, given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import DataObject, booleans, data, floats, integers, lists, sampled_from, tuples

from edge.vmm.turns.fair_queue import WEIGHT_MAX, FairQueue, Node
from edge.vmm.turns.scheduler import Entity, Quota, Scheduler

FLOOR_NS, LATENCY_NS = 500, 8_000
SECOND_NS = 1_000_000_000

slow_machine_or_not = settings(max_examples=60, deadline=None)
weights = sampled_from([1, 1, 1, 2, 3, 10, 100])
tenants = lists(tuples(weights, lists(weights, min_size=1, max_size=8)), min_size=1, max_size=6)
fractions = lists(floats(0.01, 1.0) | sampled_from([1.0]), min_size=1, max_size=5)  # of a slice, over and over


class Share:
    """A scheduler, whoever may use it, and what each of them got."""

    def __init__(self, shares: Sequence[tuple[int, Sequence[int]]]) -> None:
        self.scheduler = Scheduler(latency_ns=LATENCY_NS, floor_ns=FLOOR_NS)
        self.tenant_weights = [tenant_weight for tenant_weight, _ in shares]
        self.tenant: dict[Entity, int] = {
            self.scheduler.add(str(number), weight=weight, tenant_weight=tenant_weight): number
            for number, (tenant_weight, own) in enumerate(shares)
            for weight in own
        }
        self.entities = list(self.tenant)
        self.now_ns = 0
        self.longest_ns = 1  # slice had or asked for beside others: what the bounds are counted in
        self.got: Counter[Entity] = Counter()

    def run(self, fraction: float) -> None:
        """One turn, of which a fraction is used."""
        turn = self.scheduler.next(self.now_ns)
        if turn is not None:
            entity, slice_ns = turn
            assert entity.awake
            used_ns = max(1, int(slice_ns * fraction))
            if self.scheduler.runnable > 1:
                self.longest_ns = max(self.longest_ns, slice_ns, LATENCY_NS // self.scheduler.runnable)
            self.now_ns += used_ns
            self.got[entity] += used_ns
            self.scheduler.charge(entity, used_ns, self.now_ns)

    def lags(self) -> tuple[float, float]:
        """The greatest lag of a tenant and of an entity since `got` was cleared, either way, in slices."""
        awake = [entity for entity in self.entities if entity.awake]
        present = {self.tenant[entity] for entity in awake}
        total = sum(self.got.values()) / sum(self.tenant_weights[number] for number in present)
        of_tenants, of_entities = 0.0, 0.0
        for number in present:
            own = [entity for entity in awake if self.tenant[entity] == number]
            ideal = total * self.tenant_weights[number]
            of_tenants = max(of_tenants, abs(ideal - sum(self.got[entity] for entity in own)))
            inside = ideal / sum(entity.weight for entity in own)
            of_entities = max(of_entities, *(abs(inside * entity.weight - self.got[entity]) for entity in own))
        return of_tenants / self.longest_ns, of_entities / self.longest_ns


@slow_machine_or_not
@given(tenants, fractions)
def test_all_who_start_together_stay_within_one_slice_a_level(
    shares: list[tuple[int, list[int]]], parts: list[float]
) -> None:
    share = Share(shares)
    for entity in share.entities:
        share.scheduler.wake(entity, 0)
    for turn in range(80):
        share.run(parts[turn % len(parts)])
        of_tenants, of_entities = share.lags()
        assert of_tenants <= 1
        assert of_entities <= 2


@slow_machine_or_not
@given(tenants, fractions, data())
def test_over_any_interval_without_change_all_stay_within_two_slices_a_level(
    shares: list[tuple[int, list[int]]], parts: list[float], draw: DataObject
) -> None:
    share = Share(shares)
    for name, number in draw.draw(
        lists(tuples(sampled_from(["wake", "wake", "sleep", "run", "run"]), integers(0, 47)))
    ):
        entity = share.entities[number % len(share.entities)]
        if name == "run":
            share.run(parts[number % len(parts)])
        else:
            getattr(share.scheduler, name)(entity, share.now_ns)
    assume(share.scheduler.runnable > 1)
    share.got.clear()
    for turn in range(60):
        share.run(parts[turn % len(parts)])
        of_tenants, of_entities = share.lags()
        assert of_tenants <= 2
        assert of_entities <= 4


@slow_machine_or_not
@given(integers(1, 40), integers(0, 200), fractions)
def test_who_wakes_beside_equals_waits_for_one_turn_of_each_at_most(hogs: int, turns: int, parts: list[float]) -> None:
    share = Share([(1, [1])] * (hogs + 1))
    *others, sleeper = share.entities
    for entity in others:
        share.scheduler.wake(entity, 0)
    for turn in range(turns):
        share.run(parts[turn % len(parts)])
    share.scheduler.wake(sleeper, share.now_ns)
    share.got.clear()
    waited = 0
    while not share.got[sleeper]:
        share.run(1.0)
        waited += 1
    assert waited - 1 <= hogs


class QueueOfOneLevel(RuleBasedStateMachine):
    """Every operation in any order: lags sum to 0 to the last bit, time never goes back, somebody is always due."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[Node] = FairQueue()
        self.nodes: list[Node] = []
        self.virtual = 0

    @rule(weight=integers(1, WEIGHT_MAX) | weights)
    def add(self, weight: int) -> None:
        self.nodes.append(Node(weight))

    @precondition(lambda self: self.nodes)
    @rule(choice=integers(0, 99), request_ns=integers(1, LATENCY_NS))
    def turn_over(self, choice: int, request_ns: int) -> None:
        node = self.nodes[choice % len(self.nodes)]
        if node.wants:
            self.queue.leave(node)
        else:
            self.queue.join(node, request_ns)

    @rule(service_ns=integers(0, LATENCY_NS), request_ns=integers(1, LATENCY_NS))
    def serve(self, service_ns: int, request_ns: int) -> None:
        node = self.queue.pick()
        if node is not None:
            self.queue.charge(node, service_ns, request_ns)

    @precondition(lambda self: self.nodes)
    @rule(choice=integers(0, 99), service_ns=integers(0, 1_000 * LATENCY_NS))
    def charge_out_of_turn(self, choice: int, service_ns: int) -> None:
        self.queue.charge(self.nodes[choice % len(self.nodes)], service_ns, FLOOR_NS)

    @precondition(lambda self: self.nodes)
    @rule(choice=integers(0, 99), weight=integers(1, WEIGHT_MAX))
    def reweight(self, choice: int, weight: int) -> None:
        self.queue.reweight(self.nodes[choice % len(self.nodes)], weight)

    @invariant()
    def lags_sum_to_nothing(self) -> None:
        members = [node for node in self.nodes if node.member]
        lag = sum((self.queue.virtual - node.start) * node.weight for node in members)
        assert -sum(node.weight for node in members) <= lag <= 0, "but for what does not make one unit of virtual time"

    @invariant()
    def virtual_time_goes_on(self) -> None:
        assert self.queue.virtual >= self.virtual
        self.virtual = self.queue.virtual

    @invariant()
    def somebody_is_due_who_may_be(self) -> None:
        wanting = [node for node in self.nodes if node.wants]
        node = self.queue.pick()
        assert self.queue.wanting == len(wanting)
        assert (node is None) == (not wanting)
        if node is not None:
            assert node.wants
            assert not node.member or node.start <= self.queue.virtual

    @invariant()
    def debtors_alone_stay_without_work(self) -> None:
        assert all(node.start > self.queue.virtual for node in self.nodes if node.member and not node.wants)


QueueOfOneLevel.TestCase.settings = settings(max_examples=50, stateful_step_count=60, deadline=None)
test_queue_of_one_level = QueueOfOneLevel.TestCase


@slow_machine_or_not
@given(
    rate=integers(SECOND_NS // 1_000, SECOND_NS),
    burst_ns=integers(FLOOR_NS, 10 * LATENCY_NS),
    rivals=integers(0, 3),
    steps=lists(tuples(floats(0.01, 1.0), booleans()), min_size=1, max_size=60),
)
def test_no_interval_has_more_than_its_quota(
    rate: int, burst_ns: int, rivals: int, steps: list[tuple[float, bool]]
) -> None:
    scheduler = Scheduler(latency_ns=LATENCY_NS, floor_ns=FLOOR_NS)
    limited = scheduler.add("limited", quota=Quota(rate, burst_ns))
    for number in range(rivals):
        scheduler.wake(scheduler.add(f"rival {number}"), 0)
    scheduler.wake(limited, 0)
    now_ns, used_ns = 0, 0
    before = [(0, 0)]  # when a slice of the limited began, and what it had used by then
    for fraction, nap in steps:
        while (turn := scheduler.next(now_ns)) is None:
            release_ns = scheduler.next_release_ns()
            assert release_ns is not None
            assert scheduler.next(release_ns - 1) is None, "throttled until its refill, and not a moment less"
            now_ns = release_ns
        entity, slice_ns = turn
        run_ns = max(1, int(slice_ns * fraction))
        if entity is limited:
            before.append((now_ns, used_ns))
            used_ns += run_ns
        now_ns += run_ns
        scheduler.charge(entity, run_ns, now_ns)
        if nap and entity is limited:
            scheduler.sleep(limited, now_ns)
            scheduler.wake(limited, now_ns)
        for then_ns, had_ns in before:
            assert (used_ns - had_ns) * SECOND_NS <= burst_ns * SECOND_NS + rate * (now_ns - then_ns)


@slow_machine_or_not
@given(tenants, lists(tuples(sampled_from(["wake", "sleep", "run"]), integers(0, 47)), max_size=80))
def test_the_same_story_has_the_same_end(shares: list[tuple[int, list[int]]], story: list[tuple[str, int]]) -> None:
    ends = []
    for _ in range(2):
        share = Share(shares)
        for name, number in story:
            if name == "run":
                share.run(number / 47)
            else:
                getattr(share.scheduler, name)(share.entities[number % len(share.entities)], share.now_ns)
        ends.append([(e.slices, e.cpu_ns, e.wait_ns, e.awake) for e in share.entities])
    assert ends[0] == ends[1]
