"""What a worker knows of the images it holds."""

import os
import random
import socket
from collections.abc import Iterator

import pytest

from edge.vmm.kernel import host
from edge.vmm.shells.held_images import HeldImages
from edge.vmm.wire.images import Layout, NewImage
from tests.vectors.frames import REGIONS
from vmimage import abi

BASE = 1


@pytest.fixture
def held() -> Iterator[HeldImages]:
    ours, theirs = host.message_pair()
    with ours, theirs:
        images = HeldImages(theirs)
        descriptor = os.memfd_create("base", os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, abi.MEMORY_MAX)
        socket.send_fds(ours, [BASE.to_bytes(4, "little")], [descriptor])
        os.close(descriptor)
        images.take(NewImage(BASE, Layout("base", None, 8 << 20, REGIONS, abi.MEMORY_MAX)))
        yield images
        images.drop(BASE)


def test_the_bytes_held_are_those_of_the_records_that_are_here(held: HeldImages) -> None:
    choose, sizes = random.Random(5), dict[int, int]()
    for _ in range(500):
        number = choose.randrange(2, 20)
        if choose.random() < 0.4:
            assert (held.drop(number) is not None) is (number in sizes)
            sizes.pop(number, None)
        else:  # anew, or in place of the one that was there
            sizes[number] = choose.randrange(1, 1000)
            held.take(NewImage(number, Layout("derived", BASE, 8 << 20, REGIONS, 0), bytes(sizes[number])))
        assert held.held_bytes() == sum(sizes.values())
        assert len(held) == 1 + len(sizes)
        assert held.bases() == 1
    held.drop(BASE)
    assert held.bases() == 0
