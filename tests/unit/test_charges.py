"""Who pays for what the supervisor does for a guest, and who waits when a tenant has caused too much of it?"""

import pytest

from edge.vmm.devices.gate import Gate
from edge.vmm.devices.log import LOG_LINES, GuestLog
from edge.vmm.devices.ring import encode_record
from edge.vmm.machine.background import BACKGROUND_PERCENT, Background, rested
from edge.vmm.turns.charges import RECORD_NS, TENANT_QUOTA, TURN_NS, Account
from edge.vmm.turns.scheduler import Entity, Scheduler
from edge.vmm.turns.token_bucket import Bucket
from tests.support.memory import alive
from vmimage import abi
from vmimage.errors import OutOfBackgroundTime

MS = 1_000_000
PAIR_NS = RECORD_NS[abi.RECORD_SUBREQUEST] + RECORD_NS[abi.RECORD_RESET]


def test_a_turn_ends_when_enough_was_caused_and_all_of_it_is_owed() -> None:
    account = Account()

    def used_up_after(cost_ns: int) -> bool:
        account.add(cost_ns)
        return account.used_up

    assert not used_up_after(TURN_NS - 1)
    assert used_up_after(5)
    account.begin_turn()
    assert not account.used_up
    assert (account.take(), account.take()) == (TURN_NS + 4, 0)
    unlimited = Account(limited=False)
    unlimited.add(1 << 60)
    assert not unlimited.used_up


def test_what_a_guest_sends_beyond_a_turn_is_told_of_in_later_ones_in_order() -> None:
    ram = memoryview(bytearray(0x40000))
    account = Account()
    gate = Gate(ram, max_streams=1, output_limit=1 << 20, account=account)
    sent = b"".join(
        encode_record(abi.RECORD_SUBREQUEST, abi.FLAG_END, abi.EXCHANGE_BIT | n, b"\0")
        + encode_record(abi.RECORD_RESET, 0, abi.EXCHANGE_BIT | n, b"")
        for n in range(100)
    )
    ram[abi.GATE_OUT_ADDRESS : abi.GATE_OUT_ADDRESS + len(sent)] = sent
    told = []
    turns = 0
    while gate.backlog or not turns:
        turns += 1
        account.begin_turn()
        told += gate.drain(len(sent))
        assert gate.out_tail == len(sent), "the ring has been read once"
        assert gate.busy is gate.backlog
    assert turns > 100 * PAIR_NS // (2 * TURN_NS)
    assert [record.type for record in told] == [abi.RECORD_SUBREQUEST, abi.RECORD_RESET] * 100
    assert account.take() == 100 * PAIR_NS


def test_answers_cost_nothing_there() -> None:
    assert not {abi.RECORD_HEAD, abi.RECORD_BODY} & set(RECORD_NS)


class Turns:
    """A scheduler whose clock only work moves."""

    def __init__(self) -> None:
        self.scheduler, self.now_ns = Scheduler(), 1_000_000_000

    def add(self, tenant: str) -> Entity:
        entity = self.scheduler.add(tenant)
        self.scheduler.wake(entity, self.now_ns)
        return entity

    def run(self, outside_ns: dict[Entity, int]) -> Entity | None:
        """A turn of 1 ms of whoever is next, which causes so much outside."""
        turn = self.scheduler.next(self.now_ns)
        self.now_ns += MS
        if turn is None:
            return None
        self.scheduler.charge(turn[0], MS, self.now_ns, outside_ns=outside_ns.get(turn[0], 0))
        return turn[0]


def test_a_tenant_that_caused_too_much_waits_with_all_its_machines_and_nobody_else_does() -> None:
    turns = Turns()
    evil, victim = [turns.add("evil") for _ in range(20)], turns.add("victim")
    ran: dict[Entity, int] = dict.fromkeys((*evil, victim), 0)
    caused, seconds = 0, 10
    for _ in range(seconds * 1000):
        entity = turns.run(dict.fromkeys(evil, 5 * MS))
        if entity is not None:
            ran[entity] += 1
            caused += 5 * MS * (entity is not victim)
        assert caused <= TENANT_QUOTA.burst_ns + (turns.now_ns - 10**9) * TENANT_QUOTA.cpu_ns_per_s // 10**9 + 5 * MS
    assert caused > seconds * TENANT_QUOTA.cpu_ns_per_s // 2
    assert all(ran.values())
    assert ran[victim] > seconds * 1000 * 9 // 10


def test_one_that_waits_alone_leaves_the_worker_idle_until_it_has_paid() -> None:
    turns = Turns()
    evil = turns.add("evil")
    while turns.run({evil: 50 * MS}) is not None:
        pass
    release_ns = turns.scheduler.next_release_ns()
    assert release_ns is not None
    assert evil.hold
    assert turns.scheduler.next(release_ns - 1) is None
    assert turns.scheduler.next(release_ns) is not None


def test_a_tenant_that_goes_and_comes_back_still_owes() -> None:
    turns = Turns()
    evil = turns.add("evil")
    while turns.run({evil: 500 * MS}) is not None:
        pass
    for _ in range(5):
        turns.scheduler.remove(evil, turns.now_ns)
        evil = turns.add("evil")
        assert turns.run({}) is None
    turns.now_ns += 6_000_000_000
    assert turns.run({}) is evil


def test_tenants_that_owe_nothing_are_not_remembered() -> None:
    turns, others = Turns(), len(alive(Bucket))
    for number in range(3000):
        entity = turns.add(f"t{number}")
        turns.run({entity: 200 * MS} if number % 3 == 0 else {})
        turns.scheduler.remove(entity, turns.now_ns)
        turns.now_ns += 10 * MS
    assert 0 < len(alive(Bucket)) - others < 600, "each has a bucket of its own"


# Lines.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [1_000_000_000]
    monkeypatch.setattr("time.monotonic_ns", lambda: now[0])
    return now


def test_lines_beyond_the_rate_are_counted_and_reported_once(clock: list[int]) -> None:
    log = GuestLog(16 << 20)
    told = b""
    for _ in range(50):
        log.append(b"\n" * 8192)
        text, lines = log.take()
        assert text.count(b"\n") == lines
        told += text
    assert told.count(b"\n") == LOG_LINES
    clock[0] += 1_000_000_000
    log.append(b"one more\n")
    text, _ = log.take()
    assert text == b"%d lines dropped: at most %d in a second expected\none more\n" % (50 * 8192 - LOG_LINES, LOG_LINES)
    log.append(b"and one\n")
    assert log.take() == (b"and one\n", 1)


def test_of_a_piece_with_too_many_lines_the_first_are_kept(clock: list[int]) -> None:
    log = GuestLog(1 << 20)
    log.append(b"".join(b"line %d\n" % n for n in range(LOG_LINES + 7)))
    text, lines = log.take()
    assert text.splitlines()[-1] == b"line %d" % (LOG_LINES - 1)
    assert lines == LOG_LINES
    log.end()
    assert log.take()[0] == b"7 lines dropped: at most %d in a second expected\n" % LOG_LINES


def test_pieces_of_one_line_written_in_one_turn_are_one_line(clock: list[int]) -> None:
    log = GuestLog(1 << 20)
    for letter in b"word\n" * 90:
        log.append(bytes((letter,)))
    assert log.take() == (b"word\n" * 90, 90)
    log.append(b"without an end")
    assert log.take() == (b"without an end", 1)


# Without a request.


def test_work_without_a_request_has_a_share_and_a_burst_of_one_request(clock: list[int]) -> None:
    background = Background(cpu_ms=100)
    background.spend(100 * MS)
    with pytest.raises(OutOfBackgroundTime, match="used more than 100 ms"):
        background.spend(1)
    spend_for_ten_seconds(Background(cpu_ms=100), clock, BACKGROUND_PERCENT)
    with pytest.raises(OutOfBackgroundTime):
        spend_for_ten_seconds(Background(cpu_ms=100), clock, 2 * BACKGROUND_PERCENT)


def spend_for_ten_seconds(background: Background, clock: list[int], percent: int) -> None:
    for _ in range(10_000):
        clock[0] += 1 * MS
        background.spend(MS * percent // 100)


def test_a_request_that_was_completed_gives_its_machine_time_for_what_follows(clock: list[int]) -> None:
    background = Background(cpu_ms=10)
    for _ in range(1000):
        background.spend(9 * MS)
        background.renew()
    background.spend(10 * MS)
    with pytest.raises(OutOfBackgroundTime):
        background.spend(9 * MS)


def test_sleep_gives_a_request_some_of_its_time_back() -> None:
    """An answer that streams for ever works a little after each nap, and is no endless loop for that."""
    limit_ns, charged_ns = 200_000_000, 0
    for _ in range(10_000):  # a millisecond of work each 25 ms: 4 %
        charged_ns = rested(charged_ns + 1_000_000, 25_000_000)
        assert charged_ns < limit_ns
    for _ in range(10_000):  # each 10 ms: 10 %
        charged_ns = rested(charged_ns + 1_000_000, 10_000_000)
    assert charged_ns > limit_ns, "who works more than its share does not get it back"
    assert rested(1_000_000, 10**12) == 0, "nobody saves up"
