"""The command `nunatak static`: a folder of files as a service, in one step."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from origin.commands.assets_options import (
    MAX_AGE_S,
    CleanOption,
    CompressOption,
    ExcludeOption,
    ImmutableOption,
    MaxAgeOption,
    SinglePageOption,
)
from origin.commands.build_cli import build
from origin.commands.shared import (
    HostsOption,
    KeysOption,
    OriginOption,
    PlainOption,
    TenantOption,
    TokenOption,
    WithKeyOption,
)
from origin.commands.signing import Signatory, now, warn
from vmimage.errors import PublisherError

if TYPE_CHECKING:
    from origin.model.diskfile import DiskFile
    from vmimage.archive import ImageBundle
    from vmimage.attached import Attached


def static(
    folder: Annotated[Path, typer.Argument(help="Folder whose files are served.", metavar="FOLDER")],
    origin: OriginOption,
    keys: KeysOption,
    name: Annotated[
        str | None, typer.Option(help="Name of the service.", metavar="NAME", show_default="the name of FOLDER")
    ] = None,
    host: HostsOption = None,
    exclude: ExcludeOption = None,
    compress: CompressOption = False,
    clean_urls: CleanOption = False,
    single_page: SinglePageOption = False,
    max_age: MaxAgeOption = MAX_AGE_S,
    immutable: ImmutableOption = None,
    tenant: TenantOption = "",
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Publish a folder of files as the new version of a service. No program is needed.

    Files that edges keep need no machine; a new version replaces them all at once. With pages that are made when they
    are asked for, build a program with --assets instead.
    """
    import tempfile

    from origin.bake.recipe import name_of
    from origin.model.publication import Publication
    from origin.publish.progress import report
    from origin.publish.publish import publish
    from vmimage.manifest import is_name

    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise PublisherError(f"a folder expected at {folder}, found {found}: name the one whose files are to be served")
    service = name or name_of(folder.resolve())
    if tenant and not is_name(tenant):
        raise PublisherError(f"--tenant: 1 to 63 of a-z 0-9 . _ - expected, got {tenant!r}")
    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    by = signatory.publisher()
    with tempfile.TemporaryDirectory(prefix="nunatak-") as scratch:
        images, disks, attached = _built(
            folder,
            service,
            Path(scratch) / "assets.disk",
            exclude=exclude,
            compress=compress,
            clean_urls=clean_urls,
            single_page=single_page,
            max_age=max_age,
            immutable=immutable,
        )
        image = images[-1].manifest.digest
        wanted = Publication(tuple(images), image, service, tuple(host or ()), disks, tenant, attached)
        records = signatory.carry_out(publish([wanted], by.trust, by.signer, now(), None, by.warn))
    report(records)


def _built(
    folder: Path, name: str, disk: Path, **choices: Any
) -> tuple[list[ImageBundle], tuple[DiskFile, ...], tuple[tuple[Attached, bytes], ...]]:
    """The images, the disk that the service's own names, and what is attached to it."""
    from rich.console import Console
    from rich.markup import escape

    from libos.toolchain.packages import used_packages
    from origin.bake.bill import attached_to
    from origin.bake.recipe import images_of
    from origin.model.diskfile import DiskFile
    from vmimage.text import plain

    usual = {each.name: each.default for each in inspect.signature(build).parameters.values()}
    options = {**usual, **choices, "name": name, "site": True}
    del options["source"], options["output"]
    console = Console(stderr=True)
    with console.status("building") as status, used_packages() as packages:
        images = images_of(
            folder,
            progress=lambda step: status.update(f"building: {escape(plain(step))}"),
            warn=warn,
            assets_disk=disk,
            **options,
        )
    attached = attached_to(images, folder, options, packages, ())
    return images, tuple(DiskFile(disk) for _ in images[-1].manifest.disks), tuple(attached)
