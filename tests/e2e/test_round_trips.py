"""In how many round trips to its origin does an edge bring up a service that it has never heard of?

Counted, not timed: each round's answers are held until all of its requests are there (`tests.support.rounds`).
"""

from pathlib import Path

from loadtest.site.fetch import Client
from loadtest.site.site import Site, example
from tests.support.edges import eventually
from tests.support.parents import parent
from tests.support.rounds import Round, Rounds


def first_of_its_base(connections: int) -> list[Round]:
    """The catalogue, the image, its base.

    :param connections: that there are at the end of the first: while it is asked, those for the image are made.
    """
    return [Round({"bin": 1}, connections), Round({"manifest": 1, "blob": 1}), Round({"manifest": 1, "blob": 1})]


def test_a_service_and_its_base_take_three_round_trips_and_the_next_service_two(tmp_path: Path) -> None:
    with Site(tmp_path, edges=0) as site:
        site.publish(site.build(example("hello")), "first")
        site.publish(site.build(example("clock"), name="second"), "second")
        with Rounds(site.origin.url, first_of_its_base(3)) as rounds:
            edge = site.add_edge(config={"refresh": 300, "catalogue_ahead": 0}, origin=rounds.url)
            with Client(edge.url) as client:
                assert client.get("/~service/first/").status == 200
                assert (rounds.over, rounds.unexpected) == (3, [])
                rounds.rounds += [Round({"bin": 1}), Round({"manifest": 1, "blob": 1})]
                assert client.get("/~service/second/").status == 200
                assert (rounds.over, rounds.unexpected) == (5, [])


def test_in_a_small_catalogue_it_is_one_less_for_what_is_in_it_is_known(tmp_path: Path) -> None:
    with Site(tmp_path, edges=0) as site:
        site.publish(site.build(example("hello")), "first")
        site.publish(site.build(example("clock"), name="second"), "second")
        bins = len({path.name.split(".")[1] for path in site.store.rglob("*.bin-*.json")})
        with Rounds(site.origin.url, [Round({"bin": 1}) for _ in range(bins)]) as rounds:
            edge = site.add_edge(config={"refresh": 300}, origin=rounds.url)
            eventually(lambda: rounds.over == bins, "bins that nobody has asked for")
            with Client(edge.url) as client:
                rounds.rounds += [Round({"manifest": 1, "blob": 1}), Round({"manifest": 1, "blob": 1})]
                assert client.get("/~service/first/").status == 200
                assert (rounds.over, rounds.unexpected) == (bins + 2, [])
                rounds.rounds += [Round({"manifest": 1, "blob": 1})]
                assert client.get("/~service/second/").status == 200
                assert (rounds.over, rounds.unexpected) == (bins + 3, [])


def test_a_parent_asks_its_origin_in_as_many_and_what_it_has_takes_none(tmp_path: Path) -> None:
    with Site(tmp_path, edges=0) as site:
        site.publish(site.build(example("hello")), "first")
        with (
            Rounds(site.origin.url, first_of_its_base(4)) as rounds,
            parent(tmp_path, "parent", rounds.url) as near,
        ):
            for name in ("cold", "warm"):
                edge = site.add_edge(config={"refresh": 300, "catalogue_ahead": 0}, origin=near.url, name=name)
                with Client(edge.url) as client:
                    assert client.get("/~service/first/").status == 200
                assert (rounds.over, rounds.unexpected) == (3, []), name
