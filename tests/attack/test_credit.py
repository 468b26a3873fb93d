"""A worker that was taken over and does not read: can it have the supervisor hold ever more for it?"""

import asyncio
from collections.abc import Callable
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest

from edge.devices.exchange import Exchange
from edge.model.flow import Patience
from edge.model.streams import Stream
from edge.vmm.wire.messages import ToWorker
from edge.vmm.wire.streams import Body, Credit
from edge.vmm.wire.vitals import Ping, Pong
from edge.workers.process import Worker
from tests.support.wire import to_worker
from vmimage import abi
from vmimage.requests import UNDER_WAY_MAX

ALL = (1 << 32) - 1
LISTS: dict[str, Any] = {"token": "", "resident": (), "throttled": (), "grown": ()}
COUNTS: dict[str, Any] = {field.name: 0 for field in fields(Pong) if field.name not in LISTS}
PONG = Pong(**LISTS, **COUNTS)


def credit(number: int, amount: int) -> Credit:
    return Credit(1, number, amount)


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


@pytest.mark.plain
@pytest.mark.parametrize("amounts", [(ALL,), (UNDER_WAY_MAX - abi.STREAM_WINDOW, 1)])
def test_a_request_body_is_sent_no_faster_than_it_can_be_taken(amounts: tuple[int, ...]) -> None:
    async def test() -> None:
        service: Any = None
        stream = Stream(service, "POST", b"", False, 0.0)
        *fair, last = amounts
        for amount in fair:
            stream.on_credit(credit(1, amount), 0.0)  # the head's bytes are given credit for as well
        with pytest.raises(ValueError, match="credit for what was sent expected"):
            stream.on_credit(credit(1, last), 0.0)

    run(test)


def test_an_upstream_answer_is_passed_on_no_faster_than_it_can_be_taken() -> None:
    async def test() -> None:
        sent: list[ToWorker] = []
        worker = SimpleNamespace(send=lambda data: sent.extend(to_worker(data)))
        machine: Any = SimpleNamespace(number=1, worker=worker)
        exchange = Exchange(machine, abi.EXCHANGE_BIT | 1, b"", True, Patience(10.0, 10.0))
        await exchange.pass_on(bytes(1000))
        exchange.receive(credit(exchange.number, 1000))
        with pytest.raises(ValueError, match="credit for what was sent expected"):
            exchange.receive(credit(exchange.number, 1))
        assert sent == [Body(1, exchange.number, False, bytes(1000))]

    run(test)


@pytest.mark.plain
def test_signs_of_life_are_believed_only_of_one_that_reads() -> None:
    async def test() -> None:
        owner: Any = None
        worker = Worker(0, owner)
        sent: list[ToWorker] = []
        worker.send = lambda frame: sent.extend(to_worker(frame))  # type: ignore[method-assign]

        def pong(token: str, machines: int) -> None:
            worker.on_pong(replace(PONG, token=token, machines=machines))

        with pytest.raises(ValueError, match="one for each PING"):
            pong("", 1)
        worker.ping(5.0)
        for token in ("", "0" * 16):
            with pytest.raises(ValueError, match="one for each PING"):
                pong(token, 1)
        assert worker.statistics == {}
        first = sent[0]
        assert isinstance(first, Ping)
        pong(first.token, 1)
        assert worker.statistics["machines"] == 1
        with pytest.raises(ValueError, match="one for each PING"):
            pong(first.token, 2)
        worker.ping(5.0)
        assert sent[0] != sent[1]

    run(test)
