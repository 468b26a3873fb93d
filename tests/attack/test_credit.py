"""A worker that was taken over and does not read: can it have the supervisor hold ever more for it?"""

import asyncio
import json
import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from edge.devices.upstreams import Exchange
from edge.model.streams import Stream
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from edge.workers.process import Worker
from vmimage import abi
from vmimage.requests import UNDER_WAY_MAX

ALL = (1 << 32) - 1


def credit(number: int, amount: int) -> Frame:
    return Frame(frames.CREDIT, 0, 1, number, struct.pack("<I", amount))


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


@pytest.mark.parametrize("amounts", [(ALL,), (UNDER_WAY_MAX - abi.STREAM_WINDOW, 1)])
def test_a_request_body_is_sent_no_faster_than_it_can_be_taken(amounts: tuple[int, ...]) -> None:
    async def test() -> None:
        service: Any = None
        stream = Stream(service, "POST", b"", False, 0.0)
        *fair, last = amounts
        for amount in fair:
            stream.receive(credit(1, amount), 0.0)  # the head's bytes are given credit for as well
        with pytest.raises(ValueError, match="credit for what was sent expected"):
            stream.receive(credit(1, last), 0.0)

    run(test)


def test_an_upstream_answer_is_passed_on_no_faster_than_it_can_be_taken() -> None:
    async def test() -> None:
        sent: list[Frame] = []
        worker = SimpleNamespace(send=lambda data: sent.extend(frames.parse(bytearray(data))))
        machine: Any = SimpleNamespace(number=1, worker=worker)
        exchange = Exchange(machine, abi.EXCHANGE_BIT | 1, b"", True, 10.0)
        await exchange.pass_on(bytes(1000))
        exchange.receive(credit(exchange.number, 1000))
        with pytest.raises(ValueError, match="credit for what was sent expected"):
            exchange.receive(credit(exchange.number, 1))
        assert [len(frame.payload) for frame in sent] == [1000]

    run(test)


def test_signs_of_life_are_believed_only_of_one_that_reads() -> None:
    async def test() -> None:
        owner: Any = None
        worker = Worker(0, owner)
        sent: list[Frame] = []
        worker.send = lambda frame: sent.extend(frames.parse(bytearray(frame)))  # type: ignore[method-assign]

        def pong(said: object) -> None:
            worker.on_pong(json.dumps(said).encode())

        with pytest.raises(ValueError, match="one for each PING"):
            pong({"ping": "", "machines": 1})
        worker.ping(5.0)
        for said in ({"machines": 1}, {"ping": "", "machines": 1}, {"ping": "0" * 16}):
            with pytest.raises(ValueError, match="one for each PING"):
                pong(said)
        assert worker.statistics == {}
        pong({"ping": sent[0].payload.decode(), "machines": 1})
        assert worker.statistics == {"machines": 1}
        with pytest.raises(ValueError, match="one for each PING"):
            pong({"ping": sent[0].payload.decode(), "machines": 2})
        worker.ping(5.0)
        assert sent[0].payload != sent[1].payload

    run(test)
