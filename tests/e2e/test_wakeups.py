"""Does a machine without work cost nothing? The kernel counts wake-ups of the process, the worker those of machines."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import admin, eventually, metrics

Image = Callable[..., Path]
MACHINES = 12
QUIET_S = 2.0  # looked at; an idle edge's workers are expected to sleep through it
LATE_S = 1.5  # more than `edge.supervisor.upkeep` has between two looks


def worker(edge: Server) -> dict[str, int]:
    """What the only worker said last."""
    found: dict[str, int] = json.loads(admin(edge, "workers").body)["workers"][0]
    return found


def has_reported(edge: Server, rests: int | None) -> bool:
    """Whether the worker has said that it rested once more: each report wakes it."""
    return worker(edge).get("rests") != rests


def await_report(edge: Server, client: Client) -> None:
    """Until the worker has reported twice, since the first report may have been under way already.

    It is asked for reports while it has work, and once more: so a service that no deadline wakes is asked meanwhile.
    """

    def told(rests: int | None) -> bool:
        assert client.get("/~service/wk-asked/").status == 200
        return has_reported(edge, rests)

    for _ in range(2):
        eventually(partial(told, worker(edge).get("rests")), "the worker reports")


def switches(pid: int) -> int:
    """How often threads of a process went to sleep and were woken (voluntary switches, proc_pid_status(5))."""
    statuses = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(
        int(count) for text in statuses for count in re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M)
    )


def test_machines_without_work_do_not_wake_their_worker(own_site: Site) -> None:
    edge = own_site.edges[0]
    names = own_site.world(example("hello"), MACHINES, "idle")
    with Client(edge.url) as client:
        for name in names:
            assert client.get(f"/~service/{name}/").status == 200
    assert metrics(edge)["resident_machines"] == MACHINES
    pid = worker(edge)["pid"]

    def quiet() -> bool:
        before = switches(pid)
        time.sleep(QUIET_S)
        return switches(pid) == before

    eventually(quiet, f"{QUIET_S} s without a wake-up of a worker with {MACHINES} idle machines")
    assert metrics(edge)["wakeups"] == 0


def test_work_before_a_late_look_is_reported(own_site: Site) -> None:
    """The supervisor is held up for longer than it is between two looks; nothing else is asked of the worker."""
    edge = own_site.edges[0]
    [name] = own_site.world(example("hello"), 1, "late")

    def at_rest() -> bool:
        before = worker(edge)
        time.sleep(QUIET_S)
        return worker(edge) == before

    with Client(edge.url) as client:
        assert client.get(f"/~service/{name}/").status == 200
        eventually(at_rest, "all that was done is reported")
        rests = worker(edge).get("rests")
        assert client.get(f"/~service/{name}/").status == 200
        os.kill(edge.pid, signal.SIGSTOP)
        time.sleep(LATE_S)
        os.kill(edge.pid, signal.SIGCONT)
    eventually(partial(has_reported, edge, rests), "the worker reports")


def test_a_machine_that_ticks_is_woken_once_for_each_deadline(site: Site, image: Image) -> None:
    edge, beats = site.edges[0], 30
    site.publish(image("metronome"), "wk-metronome")
    site.publish(image("hello"), "wk-asked")
    with Client(edge.url) as client:
        first = client.get("/~service/wk-metronome/idle?beats=1")
        assert (first.status, first.error) == (200, ""), first.headers
        await_report(edge, client)
        before = metrics(edge)["wakeups"]
        answer = client.get(f"/~service/wk-metronome/idle?beats={beats}")
        waited = int(answer.body.split()[-2])
        await_report(edge, client)
    woken = metrics(edge)["wakeups"] - before
    assert waited - 1 <= woken <= waited, "a deadline that passes on the way into IDLE wakes nobody"
