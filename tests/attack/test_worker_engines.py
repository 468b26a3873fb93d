"""Which engines a worker takes, in its sandbox, by what the host's KVM does and what the operator allows."""

import socket
import subprocess
import sys
from typing import Any

import pytest

from edge.vmm.engines.kvm import facts
from edge.vmm.kernel import host
from edge.vmm.sandbox import layers
from edge.vmm.wire import messages
from edge.vmm.wire.frames import Splitter
from edge.vmm.wire.vitals import Hello


def hello(*options: str) -> dict[str, Any]:
    """What a worker process says of itself when it is ready."""
    ours, theirs = socket.socketpair()
    our_images, their_images = host.message_pair()
    with ours, our_images:
        with theirs, their_images:
            numbers = theirs.fileno(), their_images.fileno()
            command = [sys.executable, "-m", "edge.vmm.worker", "--frames-fd", str(numbers[0])]
            command += ["--images-fd", str(numbers[1]), *options]
            process = subprocess.Popen(command, pass_fds=numbers, env=layers.environment(), stdin=subprocess.DEVNULL)
        splitter = Splitter()
        try:
            while True:
                data = ours.recv(1 << 16)
                assert data, f"the worker left with {process.wait()}"
                for frame in splitter.feed(data):
                    said = messages.from_worker(frame)
                    assert isinstance(said, Hello)
                    return said.fields()
        finally:
            process.kill()
            process.wait()


@pytest.mark.kvm
@pytest.mark.parametrize("allowed", ["on", "off"])
def test_ring_0_is_used_only_where_it_is_allowed(allowed: str) -> None:
    about = hello("--kvm-ring0", allowed)
    assert about["calibration"]["kvm"]["ring"] == facts().ring
    if facts().ring == 3 or allowed == "on":
        assert about["engines"] == ["unicorn", "kvm"]
        assert about["calibration"]["kvm_missing"] == ""
    else:
        assert about["engines"] == ["unicorn"]
        assert "kvm_ring0 = on" in about["calibration"]["kvm_missing"]


def test_with_unicorn_alone_the_worker_has_no_kvm() -> None:
    about = hello("--engine", "unicorn", "--kvm-ring0", "on")
    assert about["engines"] == ["unicorn"]
    assert about["calibration"]["kvm"] is None
