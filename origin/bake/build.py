"""From a source of any kind to its images: which kind it is, compiled or read, and baked over the base it needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from libos.runtimes import language_of, locale_files
from libos.toolchain.build import compile_guest
from origin.bake import files as archive
from origin.bake.bake import Baker, Progress
from origin.bake.disks import LocalDrive
from origin.bake.elf import parse_program
from origin.bake.linux import checked, is_elf, linux_program, packed, read_folder
from origin.bake.scripts import Files, bake_script, read_script
from vmimage import abi
from vmimage.archive import ImageBundle
from vmimage.manifest import DEFAULT_TERMS, Terms

MadeOf = Callable[[Path, Sequence[Path]], None]


def build_image(
    source: Path,
    *,
    name: str,
    env: Mapping[str, str],
    memory_bytes: int = abi.MEMORY_DEFAULT,
    terms: Terms = DEFAULT_TERMS,
    disks: Sequence[LocalDrive] = (),
    kind: int | None = None,
    arguments: Sequence[str] = (),
    files: Path | None = None,
    assets: Files = MappingProxyType({}),
    bake_entropy: bool = False,
    locales: Sequence[str] = (),
    esbuild: Path | None = None,
    made_of: MadeOf | None = None,
    progress: Progress = print,
    warn: Progress | None = None,
) -> list[ImageBundle]:
    """Compile and bake one program: its base, then its image.

    :param source: what `libos.toolchain.build.compile_guest` takes.
        With `kind`, or where it is an ELF file, what `origin.bake.linux.linux_program` takes.
    :param env: names and values for `nk_env`, and the environment of a Linux program.
    :param kind: abi.PROGRAM_*; `None`: by the source.
    :param arguments: of a Linux program, after its name.
    :param files: a folder that the program finds at `/`, read-only.
    :param assets: more files for it, those of `origin.bake.assets.site`.
    :param bake_entropy: as for `Baker.bake`, and `warn` too.
    :param locales: as `libos.runtimes.locale_files` takes them.
    :param esbuild: as for `libos.runtimes.program_text`.
    :param made_of: as for `origin.bake.recipe.images_of`.
    :raises PublisherError: it does not compile or does not become ready; the message says why.
    """
    progress("compiling")
    language = language_of(source) if kind is None else None
    if language is not None:
        script = read_script(language, source, esbuild, warn or progress)
        if made_of is not None:
            made_of(script.program.root, script.program.inputs)
        more = {**({} if files is None else read_folder(files)), **assets}
        progress("baking the base")
        baker = Baker(memory_bytes, language)
        try:
            progress("baking")
            image = bake_script(
                baker,
                script,
                name=name,
                env=env,
                terms=terms,
                disks=disks,
                progress=progress,
                files={**more, **archive.in_folders(locale_files(language, locales))},
                bake_entropy=bake_entropy,
                warn=warn,
            )
            return [baker.base, image]
        finally:
            baker.close()
    if kind is None:
        kind = abi.PROGRAM_LINUX if is_elf(source) else abi.PROGRAM_NATIVE
    if kind == abi.PROGRAM_NATIVE:
        program = checked(parse_program(compile_guest(source)), warn or progress)
    else:
        program, arguments = linux_program(source, warn or progress), (source.name, *arguments)
    progress("baking the base")
    baker = Baker(memory_bytes)
    if kind == abi.PROGRAM_CGI:
        terms = replace(terms, instance="request")
    try:
        progress("baking")
        image = baker.bake(
            program,
            name=name,
            env=env,
            terms=terms,
            disks=disks,
            progress=progress,
            kind=kind,
            arguments=arguments,
            files=packed(files, assets),
            bake_entropy=bake_entropy,
            warn=warn,
        )
        return [baker.base, image]
    finally:
        baker.close()
