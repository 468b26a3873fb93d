"""What becomes of the pages that a service wrote to its copy-on-write disks, when another image takes over.

Edges keep such pages by the number that the catalogue gives for each disk: the version of the service since which they
are kept. The same number again lets them lie on top of the new base, another one leaves them behind. A base that is
another is never decided without being asked: pages over the wrong base are a damaged file system or database.
"""

from collections.abc import Sequence
from typing import Literal

from vmimage.drives import DriveRef
from vmimage.errors import PublisherError
from vmimage.trust import ServiceRecord

Choice = Literal["keep", "drop"]
Written = tuple[tuple[str, int], ...]


def decide(
    before: ServiceRecord | None,
    old: Sequence[DriveRef] | None,
    new: Sequence[DriveRef],
    choice: Choice | None,
    service: str,
) -> Written:
    """What the record of the next version says of each copy-on-write disk.

    :param before: the record that is published; None: the service is new.
    :param old: disks of its image; None: they are not known.
    :param new: disks of the next image.
    :raises PublisherError: pages may have been written to a disk that has another base now or none, and `choice` does
        not say what to do, or says what cannot be done.
    """
    version = before.version + 1 if before is not None else 1
    cows = {ref.name: ref for ref in new if ref.kind == "cow"}
    if before is None:
        return tuple((name, version) for name in sorted(cows))
    known = {ref.name: ref for ref in old or () if ref.kind == "cow"}
    since = dict(before.written)
    places = {}
    for name in sorted({*known, *since, *cows} if old is None else {*known, *cows}):
        was, now = known.get(name), cows.get(name)
        if now is None:
            if _asked(choice, service, name, before, "is no longer a copy-on-write disk of the image") == "keep":
                raise PublisherError(
                    f"--written keep: an image with a cow disk {name} expected for {service}: "
                    "build with it, or take --written drop"
                )
        elif old is not None and was is None:
            places[name] = version
        elif was is not None and was.digest == now.digest:
            places[name] = since.get(name, 0)
        elif _asked(choice, service, name, before, "has another base") == "drop":
            places[name] = version
        elif was is None or now.bytes < was.bytes:
            size = f"at least {was.bytes} bytes" if was is not None else "a known size before"
            raise PublisherError(
                f"--written keep: disk {name} of {size} expected for {service}, got {now.bytes} bytes: "
                "build a disk of that --size, or take --written drop"
            )
        else:
            places[name] = since.get(name, 0)
    return tuple(sorted(places.items()))


def _asked(choice: Choice | None, service: str, disk: str, before: ServiceRecord, what: str) -> Choice:
    if choice is None:
        keep = "--written keep lets the pages lie on top of the new base, which must expect them there"
        drop = "--written drop leaves them behind"
        told = f"disk {disk} of {service} {what} since version {before.version}, and edges may have pages written to it"
        raise PublisherError(f"--written keep or --written drop expected, got neither: {told}; {keep}; {drop}")
    return choice


def notes(record: ServiceRecord) -> list[str]:
    """What the publisher should know of the disks that a service writes to."""
    said = []
    for disk, since in record.written:
        note = f"{record.service}: each edge keeps its own copy of what is written to disk {disk}"
        if since == record.version > 1:
            note += "; what was written before this version is left behind, and kept aside on edges while there is room"
        said.append(note)
    return said
