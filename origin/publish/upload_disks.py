"""Bringing disks to an origin: blocks, block list, manifest, in this order; what it has is not sent again.

Decisions without I/O, as `origin.publish.publish`: a generator that yields groups of requests. A disk is gigabytes, so
its blocks are asked for and sent in groups, each read from the disk file when its turn comes.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import Final

from origin.model.exchange import Request, Response, expect, is_present, upload_request
from origin.model.publication import Disk
from vmimage.manifest import MANIFEST_TYPE, REPOSITORY

GROUP_BLOCKS: Final = 256  # 16 MiB uncompressed

Upload = Generator[Sequence[Request], Sequence[Response], None]


def upload_disks(disks: Iterable[Disk]) -> Upload:
    """Bring every disk to the origin that it does not have.

    :raises PublisherError, OriginError: answers that were not expected.
    """
    for disk in {disk.manifest.digest: disk for disk in disks}.values():
        manifest = disk.manifest
        path = f"/v2/{REPOSITORY}/manifests/{manifest.digest}"
        [response] = yield [Request("HEAD", path)]
        if is_present(response):
            continue
        digests = list(dict.fromkeys(ref.digest for ref in disk.blocks if ref.wire_bytes))
        digests.append(manifest.block_list.digest)
        for start in range(0, len(digests), GROUP_BLOCKS):
            group = digests[start : start + GROUP_BLOCKS]
            answers = yield [Request("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}") for digest in group]
            missing = [digest for digest, answer in zip(group, answers, strict=True) if not is_present(answer)]
            for answer in (yield [upload_request(digest, disk.blob(digest)) for digest in missing]):
                expect(answer, 201, "block")
        [response] = yield [Request("PUT", path, manifest.to_bytes(), MANIFEST_TYPE)]
        expect(response, 201, "disk manifest")
