"""Many services quickly: each program is compiled once, each language has one base, each service an image of its own.

For load tests and for trying an edge at scale; each image holds its first service's name in its environment, NAME.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from libos.runtimes import Language, language_of
from libos.toolchain.build import compile_guest
from origin.bake.bake import Baker
from origin.bake.elf import Program, parse_program
from origin.bake.scripts import Script, bake_script, read_script
from origin.model.publication import Publication
from vmimage.archive import ImageBundle
from vmimage.errors import PublisherError
from vmimage.manifest import DEFAULT_TERMS, Terms, is_name

DOMAIN = "world.test"


class _Workshop:
    """Bakers by language and compiled programs by source, each made when it is first wanted."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._bakers: dict[Language | None, Baker] = {}
        self._programs: dict[Path, Program] = {}
        self._scripts: dict[Path, Script] = {}

    def bake(self, source: Path, name: str) -> tuple[ImageBundle, ImageBundle]:
        """The base and the image of `source` as the service `name`."""
        language, env = language_of(source), {"NAME": name}
        if (baker := self._bakers.get(language)) is None:
            baker = self._bakers[language] = Baker(language=language)
        if language is not None:
            if (script := self._scripts.get(source)) is None:
                script = self._scripts[source] = read_script(language, source, None, lambda _: None)
            return baker.base, bake_script(
                baker, script, name=name, env=env, terms=self._terms, files={}, progress=lambda _: None
            )
        if (program := self._programs.get(source)) is None:
            program = self._programs[source] = parse_program(compile_guest(source))
        return baker.base, baker.bake(program, name=name, env=env, terms=self._terms, progress=lambda _: None)

    def close(self) -> None:
        """Give back the bakers' machines."""
        for baker in self._bakers.values():
            baker.close()


def make_world(
    sources: Sequence[Path],
    prefix: str,
    count: int,
    *,
    images: int | None = None,
    tenant: str = "",
    terms: Terms = DEFAULT_TERMS,
    progress: Callable[[int], None],
) -> list[Publication]:
    """`count` services `prefix`-00000 and on, of the sources in turn, each an image with its NAME in the environment.

    :param images: bake no more than so many; the services beyond have the first ones' images again, in turn.
    :param progress: called with the number of images that are done.
    :raises PublisherError: a program does not compile or bake, or the prefix makes no names.
    """
    if not is_name(f"{prefix}-00000"):
        raise PublisherError(f"--prefix: letters, digits and hyphens expected, got {prefix!r}")
    workshop = _Workshop(terms)
    baked: list[tuple[ImageBundle, ImageBundle]] = []
    publications = []
    try:
        for number in range(count):
            name = f"{prefix}-{number:05d}"
            if images is None or number < images:
                baked.append(workshop.bake(sources[number % len(sources)], name))
            base, image = baked[number % len(baked)]
            hosts = (f"{name}.{DOMAIN}",)
            publications.append(Publication((base, image), image.manifest.digest, name, hosts, tenant=tenant))
            progress(number + 1)
    finally:
        workshop.close()
    return publications
