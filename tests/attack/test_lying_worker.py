"""A worker that was taken over lies about whom it works for, breaks the protocol, hangs: what can that cost others?

The workers here are scripted (`scripted_worker`), all else is the real edge. A worker can blame a machine of its own,
which then runs alone and is served as before; no machine of another worker, and none twice.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.site import site as site_module
from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from loadtest.site.site import Publication, Site, example
from tests.support.edges import admin as operators_page
from tests.support.edges import eventually, metrics

LAUNCHER = Path(__file__).parent / "scripted.py"
VICTIMS = ("v0", "v1", "v2")
LIES = "retry flags state".split()  # of `scripted_worker`

MakeSite = Callable[..., Site]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeSite]:
    """Makes a site whose edge has scripted workers, with these services beside the victims."""
    monkeypatch.setattr(site_module, "NUNATAK", (sys.executable, str(LAUNCHER), str(tmp_path)))
    made: list[Site] = []

    def make(*services: str, workers: int = 1, memory: str = "256MiB", **config: float) -> Site:
        site = Site(tmp_path / "site", workers=workers, memory=memory, edge_config={"refresh": 0.2, **config})
        made.append(site)
        site.start()
        image = site.build(example("hello"))
        site.publish_batch(Publication(image, name, (f"{name}.test",)) for name in (*VICTIMS, *services))
        for name in (*VICTIMS, *services):
            assert ask(site, name) == (200, 1), "each has one machine, opened in this order"
        return site

    yield make
    for site in made:
        site.stop()


def get(site: Site, name: str, path: str = "/", method: str = "GET") -> Answer:
    with Client(site.edges[0].url) as client:
        return client.request(method, path, host=f"{name}.test")


def ask(site: Site, name: str) -> tuple[int, int]:
    """Status, and the how manieth request the service's machine says that it was."""
    answer = get(site, name)
    return answer.status, int(answer.body.split()[-1]) if answer.status == 200 else 0


def admin(edge: Server, page: str) -> Any:
    return json.loads(operators_page(edge, page).body)[page]


def quarantined(site: Site) -> list[str]:
    return [service["service"] for service in admin(site.edges[0], "services") if service["quarantined"]]


def worker_of(site: Site, name: str) -> int:
    edge = site.edges[0]
    (index,) = [service["worker"] for service in admin(edge, "services") if service["service"] == name]
    return int(next(worker["pid"] for worker in admin(edge, "workers") if worker["index"] == index))


def test_its_own_machine_is_blamed_and_its_request_is_not_repeated(scripted: MakeSite) -> None:
    site = scripted("evil")
    answer = get(site, "evil", "/abort")
    assert (answer.status, answer.error) == (502, "worker_lost")
    assert quarantined(site) == ["evil"]
    assert [ask(site, name) for name in VICTIMS] == [(200, 1)] * 3, "from the image: they were never parked"
    seen = metrics(site.edges[0])
    assert (seen["workers_lost_total"], seen["worker_ends_total{died}"], seen["replays_total"]) == (1, 1, 0)
    assert seen["states_lost_total{image}"] == len(VICTIMS), "and that is said"


def test_a_machine_of_nobody_or_of_another_worker_is_not_blamed(scripted: MakeSite) -> None:
    site = scripted("evil", workers=2)
    evil, first = worker_of(site, "evil"), worker_of(site, VICTIMS[0])
    assert evil != first, "machine 1 is in the other worker"
    for foreign in (1, 77, 0xFFFFFFFF):
        assert get(site, "evil", f"/page-{foreign}", "POST").status == 502
        eventually(lambda: metrics(site.edges[0])["workers"] == 2, "it is back")
    assert quarantined(site) == []
    seen = metrics(site.edges[0])
    assert seen["workers_lost_total"] == 3
    assert "worker_ends_total{died}" not in seen
    assert ask(site, VICTIMS[0]) == (200, 2)


def test_an_end_that_names_nobody_blames_nobody_and_a_request_is_repeated_once(scripted: MakeSite) -> None:
    site = scripted("evil")
    assert get(site, "evil", "/exit").status == 502
    seen = metrics(site.edges[0])
    assert (seen["workers_lost_total"], seen["replays_total"], seen["quarantined"]) == (2, 1, 0)
    assert ask(site, VICTIMS[0])[0] == 200


def test_a_neighbour_that_is_blamed_by_a_lie_is_served_alone(scripted: MakeSite) -> None:
    site = scripted("evil")
    assert get(site, "evil", "/page-other", "POST").status == 502
    assert quarantined(site) == [VICTIMS[0]]
    assert ask(site, VICTIMS[0]) == (200, 1)
    assert ask(site, "evil")[0] == 200
    assert worker_of(site, VICTIMS[0]) != worker_of(site, "evil"), "and out of reach of the one that lied"


def test_a_broken_protocol_is_blamed_on_the_frames_machine_and_not_on_the_page(scripted: MakeSite) -> None:
    site = scripted("evil")
    assert get(site, "evil", "/frame").status == 502
    assert quarantined(site) == ["evil"]
    seen = metrics(site.edges[0])
    assert (seen["worker_ends_total{protocol}"], seen["worker_faults_total"]) == (1, 1)
    assert ask(site, VICTIMS[0])[0] == 200


@pytest.mark.parametrize("kind", LIES)
def test_a_frame_that_is_nearly_right_is_a_broken_protocol(scripted: MakeSite, kind: str) -> None:
    """A misspelt key, a flag or a number that the type does not have, a payload where there is none."""
    site = scripted("evil")
    answer = get(site, "evil", f"/lie-{kind}")
    assert (answer.status, answer.error) == (502, "worker_lost")
    assert quarantined(site) == ["evil"]
    assert metrics(site.edges[0])["worker_ends_total{protocol}"] == 1
    assert ask(site, VICTIMS[0])[0] == 200


def test_a_worker_that_hangs_is_ended_and_who_ran_is_blamed(scripted: MakeSite) -> None:
    site = scripted("evil", wedged=0.5)
    answer = get(site, "evil", "/wedge")
    assert (answer.status, answer.error) == (502, "worker_lost")
    assert quarantined(site) == ["evil"]
    assert metrics(site.edges[0])["worker_ends_total{wedged}"] == 1
    assert ask(site, VICTIMS[0])[0] == 200


def test_neighbours_requests_are_asked_once_more_where_that_is_right(scripted: MakeSite) -> None:
    site = scripted("evil")
    got: dict[str, int] = {}
    asking = [
        threading.Thread(target=lambda n=name, m=method: got.update({m: get(site, n, "/once", m).status}))
        for name, method in (("v0", "GET"), ("v1", "POST"))
    ]
    marker = site.folder.parent / "asked"
    for thread in asking:
        thread.start()
        eventually(marker.exists, "the worker has the request")
        marker.unlink()
    marker.touch()
    assert get(site, "evil", "/abort").status == 502
    for thread in asking:
        thread.join()
    assert got == {"GET": 200, "POST": 502}
    assert metrics(site.edges[0])["replays_total"] == 1


def test_three_services_of_a_tenant_confine_all_of_it(scripted: MakeSite) -> None:
    site = scripted()
    image = site.folder / "images" / "hello.oci.tar"
    names = [f"m{number}" for number in range(4)]
    for name in names:
        site.publish(image, name, tenant="mallory")
        assert ask(site, name)[0] == 200
    for number, name in enumerate(names[:3]):
        assert names[3] not in quarantined(site), f"after {number}"
        eventually(lambda n=name: get(site, n, "/abort").status == 502, "it has a place to run")  # type: ignore[misc]
    assert quarantined(site) == names
    assert ask(site, VICTIMS[0])[0] == 200
    lost = metrics(site.edges[0])["workers_lost_total"]
    eventually(lambda: get(site, names[3], "/abort").status == 502, "it has a place to run")
    assert metrics(site.edges[0])["workers_lost_total"] == lost + 1
    assert ask(site, VICTIMS[0]) == (200, 2), "that one was not the worker of the others any more"


def test_sigterm_keeps_what_is_small_first_whatever_a_large_one_does(scripted: MakeSite) -> None:
    """The machine that is parked ends its worker by that: the others are parked before."""
    site = scripted("big-evil")
    edge = site.edges[0]
    for name in VICTIMS:
        assert ask(site, name) == (200, 2)
    eventually(lambda: metrics(edge)["resident_bytes"] > 32 << 20, "its size is known")
    assert edge.stop() == 0
    site.restart(edge)
    assert [ask(site, name) for name in VICTIMS] == [(200, 3)] * 3
    assert "event=states_lost" in edge.log.read_text(), "of the one that broke the protocol"


def test_sigterm_beside_a_worker_that_hangs_keeps_the_machines_of_the_other(scripted: MakeSite) -> None:
    site = scripted("evil", workers=2, wedged=1.0)
    edge = site.edges[0]
    hung = worker_of(site, "evil")
    safe = [name for name in VICTIMS if worker_of(site, name) != hung]
    assert safe
    os.kill(hung, signal.SIGSTOP)
    assert edge.stop() == 0
    assert "states_lost to=image services=" in edge.log.read_text()
    site.restart(edge)
    assert [ask(site, name) for name in safe] == [(200, 2)] * len(safe)


def test_a_record_that_is_too_large_is_refused_and_its_worker_goes_on(scripted: MakeSite) -> None:
    site = scripted("fat-evil")
    edge = site.edges[0]
    site.park("fat-evil")
    seen = metrics(edge)
    assert (seen["crashes_total{over_budget}"], seen["workers_lost_total"], seen["parked_bytes"]) == (1, 0, 0)
    assert ask(site, "fat-evil") == (200, 1)
    assert ask(site, VICTIMS[0]) == (200, 2)


def test_a_machine_that_outgrows_the_edge_ends_and_no_other_is_parked_for_it(scripted: MakeSite) -> None:
    site = scripted("grown-evil", memory="32MiB")  # 16 MiB for machines
    edge = site.edges[0]
    eventually(lambda: metrics(edge).get("crashes_total{over_budget}", 0) == 1, "it was measured")
    assert [ask(site, name) for name in VICTIMS] == [(200, 2)] * 3
    seen = metrics(edge)
    assert (seen["parks_total"], seen["workers_lost_total"]) == (0, 0)
    assert seen["resident_bytes"] <= 16 << 20


def test_a_worker_whose_statistics_are_none_is_ended_and_blames_nobody(scripted: MakeSite) -> None:
    site = scripted()
    site.publish(site.folder / "images" / "hello.oci.tar", "talks-nonsense")
    assert ask(site, "talks-nonsense")[0] == 200
    edge = site.edges[0]
    eventually(lambda: metrics(edge)["workers_lost_total"] >= 1, "it said so")
    seen = metrics(edge)
    assert (seen["worker_faults_total"], seen["wakeups"]) == (seen["workers_lost_total"], 0)
    assert quarantined(site) == []


def test_a_worker_cannot_make_a_machine_look_larger_than_it_may_become(scripted: MakeSite) -> None:
    site = scripted("grown-evil")
    edge = site.edges[0]
    eventually(lambda: metrics(edge)["resident_bytes"] > 32 << 20, "it was measured")
    seen = metrics(edge)
    assert seen["resident_bytes"] <= (32 << 20) + 4 * (3 << 19), "not a GiB: its image has 32 MiB"
    assert (seen["parks_total"], seen["workers_lost_total"]) == (0, 0)
