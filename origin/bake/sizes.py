"""Sizes that publishers give with options."""

from vmimage.errors import PublisherError
from vmimage.sizes import format_size, parse_size


def size_option(option: str, text: str, at_most: int | None = None) -> int:
    """Bytes of a size such as 32MiB.

    :param option: its name, for the message. :param at_most: bytes; None: any number.
    :raises PublisherError: another form, or more.
    """
    try:
        size = parse_size(text)
    except ValueError as error:
        raise PublisherError(f"--{option}: {error}") from None
    if at_most is not None and size > at_most:
        raise PublisherError(f"--{option}: at most {format_size(at_most)} expected, got {text!r}")
    return size
