"""The first signal begins the end, and one that comes a while later is the end."""

import signal
import subprocess
import sys
import time

import pytest

from edge.common.ending import AGAIN_S, is_again


@pytest.mark.parametrize(
    ("first_s", "now_s", "again"),
    [
        (None, 0.0, False),
        (None, 99.0, False),
        (5.0, 5.0, False),
        (5.0, 5.0 + AGAIN_S / 2, False),
        (5.0, 5.0 + AGAIN_S, True),
    ],
)
def test_which_signal_is_another_wish(first_s: float | None, now_s: float, again: bool) -> None:
    assert is_again(first_s, now_s) is again


PROGRAM = """
import asyncio
from edge.common.ending import Ending

async def main():
    ending = Ending(lambda why: print(why, flush=True))
    print("ready", flush=True)
    await ending.asked.wait()
    print("asked", flush=True)
    await asyncio.Event().wait()  # it never comes to an end by itself

asyncio.run(main())
"""


def test_a_program_that_does_not_end_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        while program.poll() is None:
            program.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        assert program.stdout.read() == "asked\nSIGTERM again: it ends at once\n"
    assert program.returncode == 128 + signal.SIGTERM


LATE = """
import asyncio, os, signal, threading, time
import uvloop
from edge.common.ending import Ending

threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # a signal may come to any thread

async def main():
    ending = Ending(print)
    os.kill(os.getpid(), signal.{name})
    await ending.asked.wait()
    ending.over()
    os.kill(os.getpid(), signal.{name})

{run}(main())
for _ in range(3):
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.01)
print("ended by itself")
"""


@pytest.mark.parametrize("run", ["asyncio.run", "uvloop.run"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_late_does_not_change_how_a_program_ended(name: str, run: str) -> None:
    words = [sys.executable, "-c", LATE.format(name=name, run=run)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "ended by itself\n"), done.stderr
