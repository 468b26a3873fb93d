"""A secret outlives its machine, or is seen by others: the next guest of the shell, who reads records and reports.

Which files are taken for secrets at all is `tests/unit/test_secrets.py`'s question.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edge.vmm.shells.shell import Image, Shell
from tests.support.guests import ENGINE, EXAMPLES, Guest, bake, image_of, load
from vmimage import abi, snapshot
from vmimage.errors import FormatError, GuestFault, PublisherError

VALUE = b"a-value-that-is-nowhere-else"
SECRETS = b"API_KEY=" + VALUE + b"\0COLOUR=secret\0"
ENV = EXAMPLES / "env.c"

pytestmark = pytest.mark.parametrize(
    "engine", ["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)], indirect=True, scope="module"
)


@pytest.fixture(scope="module", autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both of them."""
    token = ENGINE.set(request.param)
    yield request.param
    ENGINE.reset(token)


@pytest.fixture
def shell() -> Iterator[Shell]:
    """One, through which machines go, and in which nothing but what they do was written."""
    image = image_of(ENV)
    shell = Shell(image.base, image.memory_bytes, ENGINE.get())
    yield shell
    shell.close()


def test_a_guest_finds_them_before_its_own_variables_and_cannot_change_them(shell: Shell) -> None:
    image = load(bake(ENV, {"COLOUR": "green", "PLAIN": "x"}))
    guest = Guest(image, shell=shell, secrets=SECRETS)
    assert bytes(guest.get("/").body) == b"API_KEY=" + VALUE + b"\nCOLOUR=secret\nPLAIN=x\n"
    assert not shell.memory.is_writable(abi.ENV_ADDRESS, 1)


def test_the_next_machine_of_the_shell_finds_none_of_them(shell: Shell) -> None:
    """Another service's; and one of the same image, whose shell is not bound anew."""
    image, other = image_of(ENV), load(bake(ENV, {"PLAIN": "x"}))
    for following in (image, other):
        Guest(image, shell=shell, secrets=SECRETS).get("/")
        after = Guest(following, shell=shell)
        assert VALUE not in bytes(after.get("/").body)
        assert after.get("/API_KEY").status == 404
        assert VALUE not in shell.memory.ram[: abi.FIBER_ADDRESS]
        assert shell.memory.ram[abi.INFO_ADDRESS + abi.INFO_SECRETS] == 0


def test_other_secrets_leave_nothing_of_longer_ones(shell: Shell) -> None:
    image = image_of(ENV)
    Guest(image, shell=shell, secrets=SECRETS).get("/")
    assert bytes(Guest(image, shell=shell, secrets=b"B=1\0").get("/").body) == b"B=1\n"
    assert VALUE not in shell.memory.ram[abi.ENV_ADDRESS : abi.ENV_ADDRESS + abi.ENV_SIZE]


def test_a_machine_of_one_request_has_them_in_each(shell: Shell) -> None:
    guest = Guest(image_of(ENV), shell=shell, fresh=True, secrets=SECRETS)
    for _ in range(3):
        assert guest.get("/COLOUR").body == b"secret\n"
        guest.machine.reset()


def test_no_record_holds_their_pages_and_a_restored_machine_has_those_of_now(shell: Shell) -> None:
    image = image_of(ENV)
    guest = Guest(image, shell=shell, secrets=SECRETS)
    guest.run()
    state = guest.machine.capture()
    pages = range(abi.ENV_ADDRESS // abi.PAGE_SIZE, (abi.ENV_ADDRESS + abi.ENV_SIZE) // abi.PAGE_SIZE)
    assert not set(state.page_nos.tolist()) & set(pages)
    assert VALUE not in state.rows.tobytes()
    record = snapshot.encode(state)
    for secrets, body in ((b"COLOUR=new\0", b"new\n"), (b"", b"no such setting\n")):
        assert Guest(image, shell=shell, parked=record, secrets=secrets).get("/COLOUR").body == body


def crafted(environment: bytes) -> Image:
    """An image whose environment a publisher has written by hand."""
    image = image_of(ENV)
    state = image.snapshot()
    first = abi.ENV_ADDRESS // abi.PAGE_SIZE
    pages = np.frombuffer(environment.ljust(abi.ENV_SIZE, b"\0"), dtype=np.uint64).reshape(-1, abi.PAGE_SIZE // 8)
    others = (state.page_nos < first) | (state.page_nos >= first + len(pages))
    numbers = np.concatenate([state.page_nos[others], np.arange(first, first + len(pages), dtype=np.uint32)])
    contents = np.concatenate([state.rows[others], pages])  # the base has zeros there
    order = np.argsort(numbers)
    record = snapshot.encode(replace(state, page_nos=numbers[order], pages=contents[order]))
    return Image(image.base, image.template, record)


def test_a_report_has_no_bytes_of_the_stack(shell: Shell) -> None:
    """Where the guest may have copied them: publishers read reports, in logs."""
    reports = []
    for secrets in (SECRETS, b""):
        guest = Guest(image_of(EXAMPLES / "crash.c"), secrets=secrets)
        guest.send("/null")
        with pytest.raises(GuestFault) as caught:
            guest.run()
        reports.append(caught.value.report)
    assert [bool(report["stack"]) for report in reports] == [False, True]
    assert all(report["frames"] for report in reports)


def test_an_image_that_leaves_them_no_room_or_has_no_end_is_refused_alone(shell: Shell) -> None:
    with pytest.raises(PublisherError, match=f"less than {abi.ENV_SIZE - abi.SECRETS_SIZE} bytes expected"):
        bake(ENV, {"A": "x" * (abi.ENV_SIZE - abi.SECRETS_SIZE)})
    largest = b"Z=" + b"x" * (abi.SECRETS_SIZE - 3) + b"\0"
    fits = load(bake(ENV, {"B": "y" * (abi.ENV_SIZE - abi.SECRETS_SIZE - 8)}))
    assert len(Guest(fits, shell=shell, secrets=largest).get("/").body) > abi.ENV_SIZE - 100
    for made_up in (b"x" * abi.ENV_SIZE, b"A=1\0\0" + b"x" * (abi.ENV_SIZE - 5), b"A=" + b"x" * 12_000 + b"\0\0\0"):
        image = crafted(made_up)
        with pytest.raises(FormatError, match="environment: "):
            Guest(image, shell=shell, secrets=largest)
        Guest(image, shell=shell)  # and is none of the edge's business without secrets
