"""Canonical JSON and digests, and the checks that every parser of manifests makes: one spelling, nothing unknown."""

import base64
import binascii
import hashlib
import json
import math
import re
import reprlib
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from vmimage.errors import FormatError

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)

_SHORT: Final = reprlib.Repr()  # what a message quotes of a hostile value: few items, few levels
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxdict = 12


@dataclass(frozen=True, slots=True)
class Blob:
    """An OCI descriptor: what the bytes are, their SHA-256 as "sha256:<64 hex>", and how many there are."""

    media_type: str
    digest: str
    size: int


def digest_of(data: bytes) -> str:
    """SHA-256 as OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of the one algorithm we use, in its one spelling."""
    return _DIGEST.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `text` can name an image or a service: 1 to 63 of a-z 0-9 . _ -, a letter or digit at both ends."""
    return _NAME.fullmatch(text) is not None


def is_disk_name(text: str) -> bool:
    """Whether `text` can name a disk: as `is_name`, and short enough for its place in guest memory."""
    return is_name(text) and len(text) < 48


def canonical_json(value: object) -> bytes:
    """The one encoding of `value`: ASCII, keys sorted, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def config_bytes(what: str, value: object, media_type: str) -> bytes:
    """The config that a manifest carries inline, its descriptor checked."""
    fields = require_object(what, value, {"data", "digest", "mediaType", "size"})
    try:
        data = base64.b64decode(fields["data"], validate=True)
    except (TypeError, ValueError, binascii.Error):
        refuse(f"{what} data", "base64", fields["data"])
    if fields != inline_config(Blob(media_type, digest_of(data), len(data)), data):
        refuse(what, "a descriptor that matches its data", {**fields, "data": "..."})
    return data


def parse_outer(what: str, data: bytes, at_most: int, types: tuple[str, str, str]) -> tuple[object, bytes]:
    """An OCI manifest's layers, unchecked, and its config's bytes, checked against their descriptor.

    :param at_most: bytes of the manifest. :param types: of the manifest, the artifact and the config.
    :raises FormatError: no such manifest.
    """
    outer = load_json(what, data, at_most)
    keys = {"artifactType", "config", "layers", "mediaType", "schemaVersion"}
    fields = require_object(what, outer, keys)
    media_type, artifact_type, config_type = types
    require_same(f"{what} mediaType", media_type, fields["mediaType"])
    require_same(f"{what} artifactType", artifact_type, fields["artifactType"])
    require_same(f"{what} schemaVersion", 2, fields["schemaVersion"])
    return fields["layers"], config_bytes(f"{what} config", fields["config"], config_type)


def inline_config(blob: Blob, data: bytes) -> dict[str, Any]:
    """A config's descriptor with the config itself in "data", so that one GET is enough."""
    return {**descriptor(blob), "data": base64.b64encode(data).decode("ascii")}


def parse_blob(what: str, value: object, media_type: str, size_max: int) -> Blob:
    fields = require_object(what, value, {"digest", "mediaType", "size"})
    require_same(f"{what} mediaType", media_type, fields["mediaType"])
    size = require_integer(f"{what} size", fields["size"], 1, size_max)
    return Blob(media_type, require_digest(f"{what} digest", fields["digest"]), size)


def descriptor(blob: Blob) -> dict[str, str | int]:
    return {"digest": blob.digest, "mediaType": blob.media_type, "size": blob.size}


def load_json(what: str, data: bytes, size_max: int, *, finite: bool = True) -> object:
    """What JSON says.

    :param finite: of numbers the finite alone, since `canonical_json` has no others.
    """
    if len(data) > size_max:
        refuse(f"{what} size", f"at most {size_max} bytes", len(data))
    try:
        return json.loads(data, parse_float=_finite, parse_constant=_finite) if finite else json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what}: JSON expected: {error}") from None


def _finite(text: str) -> float:
    """:raises ValueError: it is no finite number."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a finite number expected, got {text[:20]}")
    return number


def require_object(what: str, value: object, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != keys:
        refuse(what, f"an object with keys {sorted(keys)}", sorted(value) if isinstance(value, dict) else value)
    return value


def require_integer(what: str, value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        refuse(what, f"an integer from {low} to {high}", value)
    return value


def require_digest(what: str, value: object) -> str:
    if not isinstance(value, str) or not is_digest(value):
        refuse(what, "sha256:<64 hex digits>", value)
    return value


def require_same(what: str, expected: object, got: object) -> None:
    if type(expected) is not type(got) or expected != got:
        refuse(what, repr(expected), got)


def refuse(what: str, expected: str, got: object) -> NoReturn:
    raise FormatError(f"{what}: {expected} expected, got {_SHORT.repr(got)}")
