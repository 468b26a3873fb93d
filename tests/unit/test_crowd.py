"""How many client connections there may be, and who goes when there are too many."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from edge.common.counters import Counters
from edge.common.fair_room import party_of
from edge.front.crowd import CONNECTIONS_MIN, FILES_SPARE, HELD_EACH_MIN, LOOKS, Crowd, connections_max


@dataclass(eq=False)
class Client:
    """A connection; `idle_since` None: something is under way on it."""

    remote: str
    idle_since: float | None = 0.0
    aborted: bool = False

    def abort(self) -> None:
        self.aborted = True


def crowd(most: int, held_max: int = 1 << 20) -> Crowd[Client]:
    return Crowd(most, held_max, Counters())


def test_an_address_has_three_quarters_at_most_and_its_longest_idle_makes_room() -> None:
    counters = Counters()
    all_: Crowd[Client] = Crowd(8, 1 << 20, counters)
    clients = [Client("192.0.2.1", idle_since=float(since)) for since in (5, 3, 4, 6, 7, 8)]
    assert all(all_.add(client) for client in clients)
    assert all_.add(late := Client("192.0.2.1"))
    assert [client.aborted for client in clients] == [False, True, False, False, False, False]
    assert late in all_
    assert all_.of_party("192.0.2.1") == 6
    assert all_.add(Client("192.0.2.2"))
    assert (counters.connections_closed, counters.connections_refused) == (1, 0)


def test_when_all_places_are_taken_the_greediest_address_makes_room() -> None:
    all_ = crowd(8)
    few = [Client("192.0.2.9", idle_since=0.0) for _ in range(3)]
    many = [Client("192.0.2.1", idle_since=9.0) for _ in range(5)]
    for client in (*few, *many):
        assert all_.add(client)
    for number in range(2):
        assert all_.add(Client(f"198.51.100.{number}"))
    assert not any(client.aborted for client in few), "they were idle for longer, but have fewer connections"
    assert sum(client.aborted for client in many) == 2
    assert len(all_) == 8


def test_a_new_connection_is_not_taken_where_all_have_something_to_do() -> None:
    counters = Counters()
    all_: Crowd[Client] = Crowd(4, 1 << 20, counters)
    busy = [Client(f"192.0.2.{number}", idle_since=None) for number in range(4)]
    for client in busy:
        assert all_.add(client)
    assert not all_.add(late := Client("192.0.2.8"))
    assert late.aborted
    assert late not in all_
    assert not any(client.aborted for client in busy)
    assert (counters.connections_closed, counters.connections_refused) == (0, 1)


def test_a_flood_looks_at_few_places_each_time() -> None:
    looked = 0

    class Watched(Client):
        @property
        def idle_since(self) -> float | None:
            nonlocal looked
            looked += 1
            return None

        @idle_since.setter
        def idle_since(self, _: float | None) -> None:
            pass

    all_, many = crowd(400), [Watched("192.0.2.1") for _ in range(300)]
    for client in many:
        assert all_.add(client)
    assert not all_.add(Watched("192.0.2.1"))
    assert looked == LOOKS
    all_.discard(many[0])
    all_.add(quiet := Client("192.0.2.1"))
    for _ in range(-(-300 // LOOKS)):
        all_.add(Watched("192.0.2.1"))
    assert quiet.aborted, "all are looked at in turn"


@pytest.mark.parametrize(
    ("remote", "party"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("::1", "::"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("", ""),
    ],
)
def test_an_ipv6_client_is_its_network(remote: str, party: str) -> None:
    assert party_of(remote) == party


def test_an_edge_takes_as_many_as_its_descriptors_and_memory_allow() -> None:
    assert connections_max(20_000, 256 << 20) == 16_384
    assert connections_max(20_000, 64 << 20) == 4_096
    assert connections_max(4096, 1 << 40) == 4096 - FILES_SPARE
    assert connections_max(256, 16 << 20) == CONNECTIONS_MIN


def test_any_order_of_coming_and_going_keeps_the_count() -> None:
    dice = random.Random(3)
    all_ = crowd(20)
    present: set[Client] = set()
    for _ in range(5000):
        if present and dice.random() < 0.4:
            gone = dice.choice(sorted(present, key=id))
            present.discard(gone)
            all_.discard(gone)
        else:
            new = Client(f"192.0.2.{dice.randrange(5)}", dice.choice([None, dice.random()]))
            before = Counter(client.remote for client in present)
            if all_.add(new):
                present.add(new)
            for victim in (client for client in present if client.aborted):
                assert before[victim.remote] == max(before.values()) or victim.remote == new.remote
        present = {client for client in present if not client.aborted}
        by_party = {client.remote: all_.of_party(client.remote) for client in present}
        assert set(all_) == present
        assert sum(by_party.values()) == len(present) <= all_.most
        assert max(by_party.values(), default=0) <= all_.each


def test_a_share_of_what_all_may_hold_is_never_less_than_an_ordinary_head() -> None:
    all_ = crowd(1000, held_max=1 << 20)
    for number in range(16):
        all_.add(Client(f"192.0.2.{number}"))
    assert all_.share_bytes == 1 << 16
    for number in range(900):
        all_.add(Client(f"2001:db8:{number:x}::1"))
    assert all_.share_bytes == HELD_EACH_MIN
    all_.hold(1 << 20)
    assert all_.full
    all_.hold(-1)
    assert not all_.full


def test_who_reads_nothing_for_longest_goes_when_too_much_is_unread() -> None:
    counters = Counters()
    all_: Crowd[Client] = Crowd(10, 1 << 20, counters, unread_max_bytes=100)
    still, slow, gone, late = clients = [Client(f"192.0.2.{number}") for number in range(4)]
    for client in clients:
        assert all_.add(client)
    for client in (slow, still, gone):
        all_.stopped_reading(client, 30)
    all_.resumed_reading(slow)  # it takes some
    all_.discard(gone)
    assert all_.unread_bytes == 30
    all_.stopped_reading(slow, 40)
    all_.stopped_reading(slow, 40)  # told twice, counted once
    assert (all_.unread_bytes, [client.aborted for client in clients]) == (70, [False] * 4)
    all_.stopped_reading(late, 60)
    assert [client.aborted for client in clients] == [True, False, False, False], "as much as is needed, no more"
    assert (all_.unread_bytes, counters.connections_unread) == (100, 1)
    all_.resumed_reading(late)
    all_.resumed_reading(slow)
    all_.resumed_reading(slow)
    assert all_.unread_bytes == 0
