"""Many services quickly: one compilation and one base, then for each an image of its own, or fewer images in turn.

For load tests and for trying an edge at scale; each image holds its first service's name in its environment.
"""

from collections.abc import Callable
from pathlib import Path

from libos.build import compile_guest
from libos.runtimes import language_of
from origin.build import Baker
from origin.publish import Publication
from vmimage.archive import ImageBundle
from vmimage.elf import parse_program
from vmimage.errors import PublisherError
from vmimage.manifest import DEFAULT_TERMS, Terms, is_name

DOMAIN = "world.test"


def make_world(
    source: Path,
    prefix: str,
    count: int,
    *,
    images: int | None = None,
    terms: Terms = DEFAULT_TERMS,
    progress: Callable[[int], None],
) -> list[Publication]:
    """`count` services `prefix`-00000 and on, each an image of `source` with NAME in its environment.

    :param images: bake no more than so many; the services beyond have the first ones' images again, in turn.
    :param progress: called with the number of images that are done.
    :raises PublisherError: the program does not compile or bake, or the prefix makes no names.
    """
    if not is_name(f"{prefix}-00000"):
        raise PublisherError(f"prefix: letters, digits and hyphens expected, got {prefix!r}")
    language = language_of(source)
    baker = Baker(language=language)
    program = None if language is not None else parse_program(compile_guest(source))
    baked: list[ImageBundle] = []
    publications = []
    for number in range(count):
        name = f"{prefix}-{number:05d}"
        if images is None or number < images:
            env = {"NAME": name}
            if program is None:
                text = source.read_bytes()
                image = baker.bake_source(text, name=name, env=env, terms=terms, progress=lambda _: None)
            else:
                image = baker.bake(program, name=name, env=env, terms=terms, progress=lambda _: None)
            baked.append(image)
        image = baked[number % len(baked)]
        publications.append(Publication((baker.base, image), image.manifest.digest, name, (f"{name}.{DOMAIN}",)))
        progress(number + 1)
    return publications
