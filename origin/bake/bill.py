"""The bill of materials of an image, in CycloneDX 1.6: what is in it, and what made it, with versions and hashes."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from origin.bake.provenance import COMPILER, LIBRARIES, provenance_of, record_of, versions
from vmimage.attached import CYCLONEDX_TYPE, IN_TOTO_TYPE, Attached, attach
from vmimage.canonical import canonical_json, digest_of
from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

    from libos.toolchain.packages import Package
    from vmimage.archive import ImageBundle

_PURLS: Final = {"pypi": "pypi", "wheel": "pypi", "npm": "npm"}
_MODULES: Final = "node_modules"


def bill_of(images: Sequence[ImageBundle], packages: Iterable[Package], inputs: Iterable[Path]) -> bytes:
    """The bill of the last of `images`; the same build makes the same one.

    :param packages: of nunatak's own, whose sources are in the base or made the program.
    :param inputs: files that a bundler read, among them those of the publisher's packages of npm.
    :raises OperatorError: the library for it is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import ComponentType
        from cyclonedx.output import make_outputter
        from cyclonedx.schema import OutputFormat, SchemaVersion
    except ImportError:
        raise OperatorError(
            "the package cyclonedx-python-lib (extra 'build') expected: install nunatak with the extra"
        ) from None

    image = images[-1].manifest
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, image.digest))
    bom.metadata.component = _component(ComponentType.APPLICATION, image.name, "", image.digest.removeprefix("sha256:"))
    parts = [
        _component(
            ComponentType.OPERATING_SYSTEM,
            f"base {i.manifest.name}",
            version("nunatak"),
            i.manifest.digest.removeprefix("sha256:"),
        )
        for i in images[:-1]
    ]
    for package in sorted(packages, key=lambda each: (each.index, each.name)):
        parts.append(
            _component(ComponentType.LIBRARY, package.name, package.version, package.sha256, _PURLS[package.index])
        )
    for (name, number), sha256 in sorted(npm_packages(inputs).items()):
        parts.append(_component(ComponentType.LIBRARY, name, number, sha256, "npm", "bundled files"))
    known = versions()
    for name in (COMPILER, *LIBRARIES):
        if name in known:
            parts.append(_component(ComponentType.APPLICATION, name, known[name], record_of(name), "pypi", "RECORD"))
    parts.append(
        _component(ComponentType.APPLICATION, "nunatak", known["nunatak"], known["nunatak source"], "", "sources")
    )
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(bom.metadata.component, parts)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    fields = json.loads(text)
    fields["metadata"].pop("timestamp", None)  # the same build, the same bill
    return canonical_json(fields)


def npm_packages(inputs: Iterable[Path]) -> Mapping[tuple[str, str], str]:
    """Packages in node_modules that files belong to: SHA-256 over their files' hashes, by name and version."""
    files: dict[Path, list[Path]] = {}
    for path in sorted(inputs):
        if _MODULES in path.parts:
            last = len(path.parts) - 1 - path.parts[::-1].index(_MODULES)
            scoped = path.parts[last + 1].startswith("@")
            files.setdefault(Path(*path.parts[: last + 2 + scoped]), []).append(path)
    found: dict[tuple[str, str], str] = {}
    for folder, own in files.items():
        try:
            about = json.loads((folder / "package.json").read_bytes())
            key = str(about["name"]), str(about["version"])
        except (OSError, ValueError, LookupError, TypeError):
            key = folder.name, ""
        hashes = (
            f"{path.relative_to(folder).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in own
        )
        found[key] = hashlib.sha256("".join(hashes).encode()).hexdigest()
    return found


def _component(kind: object, name: str, number: str, sha256: str, purl: str = "", of: str = "") -> Component:
    """:param of: what the SHA-256 is of, where it is not that of the thing itself as it was published."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    namespace, _, short = name.rpartition("/")
    return Component(
        name=name,
        type=kind,  # type: ignore[arg-type]
        version=number or None,
        bom_ref=f"{purl or 'nunatak'}:{name}@{number}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 and not of else None,
        properties=[Property(name=f"nunatak:sha256 of {of}", value=sha256)] if sha256 and of else None,
        purl=PackageURL(purl, namespace or None, short, number or None) if purl else None,
    )


def attached_to(
    images: Sequence[ImageBundle],
    source: Path,
    options: Mapping[str, Any],
    packages: Iterable[Package],
    inputs: Iterable[Path],
) -> list[tuple[Attached, bytes]]:
    """What an image file says of its image beside the image itself: where it comes from, not signed yet, and the bill.

    Arguments as for `origin.bake.provenance.provenance_of` and `bill_of`.
    """
    used = list(packages)
    bill = bill_of(images, used, inputs)
    statement = provenance_of(images, source, options, used, digest_of(bill)).to_bytes()
    manifest = images[-1].manifest
    subject = manifest.digest, len(manifest.to_bytes())
    return [(attach(IN_TOTO_TYPE, subject, statement), statement), (attach(CYCLONEDX_TYPE, subject, bill), bill)]
