"""The environment of a machine: secrets that the edge's operator gives its service, before what its image has.

It lies in pages that the guest may read and not write, and is made anew at every start, as the info page is: no image
and no parked record holds it. What a guest makes of it in its own memory is the guest's.
"""

import struct
from typing import Final

from edge.vmm.memory.guest_memory import GuestMemory
from vmimage import abi
from vmimage.errors import FormatError

_COUNT: Final = struct.Struct("<I")


def give(memory: GuestMemory, secrets: bytes) -> None:
    """Put secrets before a machine's environment.

    :param secrets: "NAME=VALUE\\0" repeated, at most SECRETS_SIZE bytes.
    :raises FormatError: the image's own environment leaves no room for them, or has no end.
    """
    page = memory.ram[abi.ENV_ADDRESS : abi.ENV_ADDRESS + abi.ENV_SIZE]
    own = _whole(page)
    block = joined(secrets, own)
    if len(block) >= abi.ENV_SIZE:
        raise FormatError(
            f"environment: an image that leaves {abi.SECRETS_SIZE} bytes for secrets expected, its own has {len(own)}"
        )
    memory.write(abi.ENV_ADDRESS, block.ljust(len(own), b"\0"))
    count = abi.INFO_ADDRESS + abi.INFO_SECRETS
    memory.ram[count : count + _COUNT.size] = _COUNT.pack(secrets.count(b"\0"))


def joined(secrets: bytes, own: bytes) -> bytes:
    """Both together: a secret takes the place of a variable of its name.

    :param own: variables, an empty text, arguments, an empty text.
    """
    names = {entry.partition(b"=")[0] for entry in secrets.split(b"\0")[:-1]}
    variables, _, rest = own.partition(b"\0\0") if not own.startswith(b"\0") else (b"", b"", own[1:])
    kept = [entry for entry in variables.split(b"\0") if entry and entry.partition(b"=")[0] not in names]
    return secrets + b"".join(entry + b"\0" for entry in kept) + b"\0" + rest


def _whole(page: bytes) -> bytes:
    """What of the page is used: two lists of texts, each with an empty one at its end."""
    at = 0
    for _ in range(2):
        while page[at : at + 1] not in (b"\0", b""):
            at = page.find(b"\0", at) + 1 or len(page)
        at += 1
    if at > len(page):
        raise FormatError("environment: two lists of texts, each with its end, expected in the image")
    return page[:at]
