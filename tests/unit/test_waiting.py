"""Requests that wait: what they hold is summed rightly, bounded, and one tenant's do not take the room of all."""

import random

import pytest

from edge.model import flow
from edge.model.services import Service
from edge.supervisor.waiting import STREAM_BYTES, Waiting, waiting_bytes
from tests.support.playbook import Request
from vmimage.trust import ServiceRecord


def service(name: str, tenant: str = "") -> Service:
    return Service(ServiceRecord(name, (f"{name}.test",), "sha256:" + "0" * 64, 100, 1, owner=tenant))


def request(of: Service, size: int = 100) -> Request:
    return Request(1, of, 0.0, size=size)


def fill(waiting: Waiting, of: Service, size: int = 100) -> int:
    """Let requests wait until there is no room; how many bytes they hold."""
    for _ in range(10_000):
        try:
            waiting.add(request(of, size))
        except flow.QueueFull:
            return waiting.bytes_of(of.tenant)
    raise AssertionError("no bound")


def test_the_order_is_that_of_the_queue_and_what_comes_back_goes_first() -> None:
    waiting, one = Waiting(1 << 20), service("a")
    requests = [request(one) for _ in range(3)]
    for each in requests:
        waiting.add(each)
    first = waiting.next(one)
    waiting.again(first)
    waiting.remove(requests[1])
    assert [waiting.next(one), waiting.next(one)] == [requests[0], requests[2]]
    assert (waiting.used_bytes, waiting.bytes_of("a")) == (0, 0)


def test_one_tenant_has_half_two_have_a_third_and_there_is_room_for_one_more() -> None:
    budget = 300 * (STREAM_BYTES + 100)
    waiting = Waiting(budget)
    assert budget * 0.48 < fill(waiting, service("a", "alice")) <= budget / 2
    assert budget * 0.2 < fill(waiting, service("b", "bob")) <= budget / 3
    assert fill(waiting, service("c", "carol")) > 0
    assert waiting.used_bytes < budget


def test_services_of_one_tenant_share_its_room() -> None:
    waiting = Waiting(100 * (STREAM_BYTES + 100))
    full = fill(waiting, service("a", "alice"))
    with pytest.raises(flow.QueueFull, match=f"its tenant hold {full} bytes"):
        waiting.add(request(service("b", "alice")))
    waiting.add(request(service("c", "bob")))


def test_small_requests_are_not_free() -> None:
    waiting = Waiting(100 * STREAM_BYTES)
    assert fill(waiting, service("a"), 0) == 50 * STREAM_BYTES


def test_sums_stay_right_in_any_order_also_when_a_service_changes_its_tenant() -> None:
    waiting, dice = Waiting(1 << 30), random.Random(3)
    services = [service(f"s{number}", f"t{number % 3}") for number in range(6)]
    there: list[Request] = []
    for _ in range(3000):
        match dice.randrange(5):
            case 0 | 1:
                there.append(request(dice.choice(services), dice.randrange(500)))
                waiting.add(there[-1])
            case 2 if there:
                there.append(again := there.pop(dice.randrange(len(there))))
                waiting.remove(again)
                waiting.again(again)
            case 3 if there:
                waiting.remove(there.pop(dice.randrange(len(there))))
            case 4:
                one = dice.choice(services)
                one.release = ServiceRecord(one.name, (), "sha256:" + "0" * 64, 100, 2, owner=f"t{dice.randrange(3)}")
        sizes = [STREAM_BYTES + len(each.payload) for each in there]
        assert waiting.used_bytes == sum(sizes)
        assert waiting.used_bytes == sum(waiting.bytes_of(f"t{number}") for number in range(3))
        waiting.sweep()
        assert set(waiting) == {each.service for each in there}


def test_even_the_smallest_edge_lets_some_wait() -> None:
    assert waiting_bytes(16 << 20) // STREAM_BYTES > 2000
    assert waiting_bytes(16 << 30) == 1 << 30
