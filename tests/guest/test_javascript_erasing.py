"""What an image's making has left in memory, and nobody reads any more, is not in the image."""

import pytest

from tests.support.workers import RestingWorker, worker_image

# Texts that are nowhere in the source; they have been freed when the image is made.
WORKER = b"""
const word = (...letters) => letters.join("");
let small = word("sm", "all-", "left-", "behind"), large = word("la", "rge-", "left-", "behind").repeat(200);
const kept = word("ke", "pt-", "on-", "purpose"), sizes = [small.length, large.length];
small = large = null;
export default { fetch: () => Response.json([kept, sizes]) };
"""
RSP = 4
CALLS_BYTES = 8 << 10  # of the calls between the erasing and the end of the image
STACK_BYTES = 128 << 10


@pytest.fixture(scope="module")
def worker(engine: str) -> RestingWorker:
    return RestingWorker(worker_image(WORKER))


@pytest.mark.parametrize(
    ("word", "there"), [(b"small-left-behind", 0), (b"large-left-behind", 0), (b"kept-on-purpose", 1)]
)
def test_texts_that_were_freed_are_not_in_a_new_machine(worker: RestingWorker, word: bytes, there: int) -> None:
    assert bytes(worker.shell.memory.pages.data).count(word) == there


def test_nothing_is_left_under_the_stack(engine: str) -> None:
    image = worker_image(WORKER)
    machine = RestingWorker(image)
    rsp = image.snapshot().registers.gpr[RSP]
    top = rsp - CALLS_BYTES
    under, stack = (
        machine.shell.memory.read_checked(at, size) for at, size in ((top - STACK_BYTES, STACK_BYTES), (rsp, 4096))
    )
    assert under == bytes(STACK_BYTES)
    assert stack is not None
    assert any(stack), "the stack itself is there"
