"""Does a publisher whose image, or whose clients' requests, want more memory than there is harm anybody else?"""

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from edge.supervisor.budget import SHELL_BYTES, greediest
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import admin as operators_page
from tests.support.edges import eventually, metrics

PROGRAMS = Path(__file__).parent / "programs"
VICTIMS = ("v0", "v1", "v2")
BODY_BYTES = 15_000  # of a request that waits whole: a gate's record holds no more than 16 KiB


def services(edge: Server) -> dict[str, Any]:
    return {each["service"]: each for each in json.loads(operators_page(edge, "services").body)["services"]}


def test_an_image_that_can_never_fit_is_refused_and_nobody_is_parked_for_it(own_site: Site) -> None:
    edge = own_site.add_edge(memory="16MiB")  # 8 MiB for machines: three of these, or none of the large one
    hello = own_site.build(example("hello"))
    for name in VICTIMS:
        own_site.publish(hello, name)
    own_site.publish(own_site.build(PROGRAMS / "large.c"), "large")
    with Client(edge.url) as client:
        for name in VICTIMS:
            assert client.get("/", host=f"{name}.test").status == 200
        loaded = metrics(edge)["images_loaded_total"]
        for turn in range(5):
            answer = client.get("/", host="large.test")
            assert (answer.status, answer.error) == (507, "image_too_large"), f"turn {turn}"
        before = metrics(edge)
        assert before["images_loaded_total"] == loaded, "it is not even decoded"
        assert [services(edge)[name]["state"] for name in VICTIMS] == ["resident"] * 3
        assert (before["parks_total"], before["opens_total"]) == (0, len(VICTIMS))
        assert before["refusals_total{image_too_large}"] == 5
        assert before["resident_bytes"] <= 8 << 20
        own_site.publish(hello, "large")
        eventually(lambda: client.get("/", host="large.test").status == 200, "another version may fit")


def test_a_tenants_waiting_requests_leave_room_for_those_of_others(own_site: Site) -> None:
    """As many large requests as memory would hold wait for a machine that never comes to them."""
    edge = own_site.add_edge(memory="64MiB")
    own_site.publish(own_site.build(example("spin"), "--cpu-ms", "60000"), "greedy")
    own_site.publish(own_site.build(example("hello")), "victim")
    parts = urlsplit(edge.url)
    head = b"POST /spin HTTP/1.1\r\nHost: greedy.test\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES
    with Client(edge.url) as client:
        assert client.get("/", host="greedy.test").status == 200
        connections = [socket.create_connection((parts.hostname, parts.port)) for _ in range(400)]
        for connection in connections:
            connection.sendall(head + bytes(BODY_BYTES))
        eventually(lambda: metrics(edge).get("refusals_total{queue_full}", 0) > 0, "there is an end to it")
        seen = metrics(edge)
        assert 3 << 20 < seen["waiting_bytes"] <= 4 << 20, "half of what all may have"
        assert client.get("/", host="victim.test").status == 200, "it was cold, and waited for its machine"
        for connection in connections:
            connection.close()
        eventually(lambda: metrics(edge)["waiting_bytes"] == 0, "what leaves is given back")


def test_who_has_all_of_the_memory_and_never_rests_does_not_keep_it_from_others(own_site: Site) -> None:
    edge = own_site.add_edge(memory="16MiB")  # 8 MiB for machines
    spin = own_site.build(example("spin"), "--cpu-ms", "60000")
    greedy = [f"greedy{number}" for number in range(8)]  # more than there is room for
    for name in greedy:
        own_site.publish(spin, name, tenant="mallory")
    own_site.publish(own_site.build(example("hello")), "victim")
    parts = urlsplit(edge.url)
    with Client(edge.url) as client:
        connections = [socket.create_connection((parts.hostname, parts.port)) for _ in greedy]
        for name, connection in zip(greedy, connections, strict=True):
            connection.sendall(f"GET /spin HTTP/1.1\r\nHost: {name}.test\r\n\r\n".encode())
        eventually(lambda: metrics(edge)["resident_bytes"] > (8 << 20) - SHELL_BYTES, "all of the memory is theirs")
        assert client.get("/", host="victim.test").status == 200, "it wants a part of it"
        seen = metrics(edge)
        assert seen["crashes_total{memory_pressure}"] >= 1, "one of theirs ended for it"
        assert sum(services(edge)[name]["crashes"] for name in greedy) == seen["crashes_total{memory_pressure}"]
        for connection in connections:
            connection.close()


MIB = 1 << 20


@pytest.mark.parametrize(
    ("used", "party", "cost", "expected"),
    [
        ({}, "new", 3, None),
        ({"one": 90}, "new", 3, "one"),
        ({"one": 90}, "one", 3, None),  # its own machines wait for one another
        ({"one": 60, "two": 30}, "two", 1, None),  # who wants has enough
        ({"one": 60, "two": 30}, "new", 5, "one"),
        ({"one": 30, "two": 30, "three": 30}, "new", 5, "one"),
        ({"one": 24, "two": 24, "three": 24, "four": 24}, "new", 5, None),  # many who have little each
        ({"one": 50, "two": 1}, "new", 26, None),  # it would be as greedy
    ],
)
def test_greedy_is_who_has_much(used: dict[str, int], party: str, cost: int, expected: str | None) -> None:
    assert greediest({tenant: size * MIB for tenant, size in used.items()}, party, cost * MIB, 100 * MIB) == expected
