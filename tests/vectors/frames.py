"""One message of each kind that supervisor and worker say to each other, no two fields of one alike."""

import hashlib
from collections.abc import Mapping
from typing import Final

from edge.vmm.wire import disks, images, machines, streams, vitals
from edge.vmm.wire.messages import FromWorker, ToWorker
from vmimage import abi, disk
from vmimage.drives import DriveRef
from vmimage.manifest import Region
from vmimage.terms import Limits

PAGE_SET: Final = disk.encode_pages({0: bytes(range(256)) * 16, 7: b"\x5a" * abi.PAGE_SIZE})
_EXCHANGE: Final = abi.EXCHANGE_BIT | 3
_DIGEST: Final = "sha256:" + hashlib.sha256(b"disk").hexdigest()
_LIMITS: Final = Limits(cpu_ms=50, output_bytes=1 << 20, streams=8, cpu_percent=25, log_bytes=1_024)
REGIONS: Final = (Region(0x10000, 0x11000, "r"), Region(0x100000, 0x104000, "rx"))
_DISKS: Final = (
    machines.OpenDisk(9, DriveRef(1 << 20, _DIGEST, "cow", "mine")),
    machines.OpenDisk(None, DriveRef(64 << 10, None, "scratch", "tmp")),
)
_HEAD: Final = b"REQUEST_METHOD\0GET\0\0"
_ANSWER: Final = b"Status\x00200\0\0hello"
_REPORT: Final = machines.Report(
    error="GuestFault",
    message="null pointer",
    registers={"RAX": 1, "RIP": 0x200010},
    frames=(0x200010, 0x200020),
    unknown_calls={"bpf": 2},
    code="0f05",
    stack="ff",
)

TO_WORKER: Final[Mapping[str, ToWorker]] = {
    "head": streams.Head(1, 2, True, _HEAD),
    "head-of-an-exchange": streams.Head(1, _EXCHANGE, False, b"Status\x00200\0\0"),
    "body-to-worker": streams.Body(1, 2, True, b"more of it"),
    "credit-to-worker": streams.Credit(1, 2, 32_768),
    "reset-to-worker": streams.Reset(1, 2),
    "reset-of-an-exchange": streams.Reset(1, _EXCHANGE, b"refused"),
    "image-base": images.NewImage(5, images.Layout("base", None, 8 << 20, REGIONS, abi.MEMORY_MAX)),
    "image-derived": images.NewImage(6, images.Layout("derived", 5, 8 << 20, REGIONS, 0), b"record"),
    "drop-image": images.DropImage(5, True),
    "open": machines.Open(1, 6, "acme", 3, _LIMITS, 1 << 20, 8 << 20, False, ()),
    "open-parked": machines.Open(1, 6, "acme", 3, _LIMITS, 0, 0, True, _DISKS, b"state", b"scratch"),
    "open-with-secrets": machines.Open(1, 6, "acme", 3, _LIMITS, 0, 0, True, (), secrets=b"API_KEY=of acme\0B=2\0"),
    "park": machines.Park(1),
    "close": machines.Close(1),
    "disk": disks.NewDisk(9, 16, 1 << 20),
    "drop-disk": disks.DropDisk(9),
    "block": disks.Block(9, 4, bytes(range(256)) * 256),
    "block-of-zeros": disks.Block(9, 4, b""),
    "block-failed": disks.Block(9, 4, None),
    "pages": disks.Pages(1, 2, PAGE_SET),
    "disk-done": disks.DiskDone(1, 77, -5),
    "disk-more": disks.DiskMore(1, 77),
    "ping": vitals.Ping("0123456789abcdef"),
    "stop": vitals.Stop(),
}
FROM_WORKER: Final[Mapping[str, FromWorker]] = {
    "answer": streams.Answer(1, 2, True, 1_000, 2_000, 1, _ANSWER),
    "body-from-worker": streams.Body(1, _EXCHANGE, False, b"more of it"),
    "credit-from-worker": streams.Credit(1, 2, 32_768),
    "reset-from-worker": streams.Reset(1, 2),
    "subrequest": streams.Subrequest(1, _EXCHANGE, True, b"Method\0GET\0URL\0https://api.example/\0\0"),
    "piece": streams.Piece(1, 9, True, b"\x01to a client"),
    "hello": vitals.Hello(
        71,
        ("unicorn", "kvm"),
        {
            "unicorn_exit_ns": 1.5,
            "kvm_exit_ns": 2.5,
            "unicorn_switch_ns": 3.5,
            "kvm_switch_ns": 4.5,
            "unicorn_entry_ns": 6.5,
            "kvm_entry_ns": 7.5,
            "kvm_work_ns": float("inf"),
            "speedup": 5.5,
            "kvm_missing": "no device",
            "kvm": {"ring": 3, "guards": ["SMEP"], "cpuid_is_ours": True},
        },
    ),
    "parked": machines.Parked(1, b"state", b"scratch"),
    "died": machines.Died(1, "GuestFault", "null pointer", _REPORT, (4, 5)),
    "died-without-report": machines.Died(1, "WorkerFull", "no room", None, ()),
    "log": machines.Log(1, b"a line\n"),
    "pong": vitals.Pong("0123456789abcdef", ((1, 4096),), (2,), (3,), *range(4, 22)),
    "block-want": disks.BlockWant(9, 4),
    "keep": disks.Keep(1, 77, 2, False, PAGE_SET),
    "keep-more": disks.Keep(1, 77, 2, True, PAGE_SET[:8]),
    "append": disks.Append(1, 77, 3, b"a record"),
    "append-sync": disks.Append(1, 77, 3, None),
}
