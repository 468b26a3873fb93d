"""What a tenant may attach to images, beside the images and disks that it publishes: decisions without I/O.

Manifests of others are the operator's to push. A tenant may attach where an image comes from and what it is made of
(`vmimage.attached`), in one layer of bounded size, to an image that a service of its own has or had; the artifact names
the service. So many of them, and no more, may refer to one image.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from origin.registry.names import Submitter
from origin.registry.refusal import OciError
from vmimage.attached import SERVICE_NOTE, parse_attached
from vmimage.canonical import is_name
from vmimage.errors import FormatError
from vmimage.tenancy import Book
from vmimage.trust import service_path

ATTACHED_AT_MOST: Final = 16  # to one image, by tenants that have it: builds of other days, after other keys


def admit(data: bytes, digest: str, submitter: Submitter, book: Book, present: Sequence[Mapping[str, Any]]) -> None:
    """Whether a tenant may attach this.

    :param data: the artifact's manifest. :param digest: of that.
    :param book: of what is published. :param present: descriptors of what refers to the same image.
    :raises OciError: it may not.
    """
    try:
        attached = parse_attached(data)
    except FormatError as error:
        raise OciError(
            403, "DENIED", f"the operator's token expected for a manifest of another kind: {error}"
        ) from None
    service = attached.notes.get(SERVICE_NOTE, "")
    record = book.record(service_path(service)) if is_name(service) else None
    if record is None or record.tenant != submitter.tenant:
        raise OciError(403, "DENIED", f"a service of tenant {submitter.tenant} expected in {SERVICE_NOTE}")
    if attached.subject.digest not in book.images(service):
        raise OciError(403, "DENIED", f"an image that {service} has or had expected, got {attached.subject.digest}")
    others = [each for each in present if each.get("digest") != digest]
    mine = [each for each in others if _service(each) == service]
    if len(mine) >= ATTACHED_AT_MOST:
        raise OciError(403, "DENIED", f"at most {ATTACHED_AT_MOST} attached to an image by {service} expected")


def _service(descriptor: Mapping[str, Any]) -> object:
    notes = descriptor.get("annotations")
    return notes.get(SERVICE_NOTE) if isinstance(notes, dict) else None
