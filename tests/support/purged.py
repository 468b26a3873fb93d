"""Which answers a purge names, said once more and plainly: what the store of kept answers is compared with."""

from collections.abc import Collection


def is_named(kind: str, selector: str, uri: str, tags: Collection[str]) -> bool:
    """Whether a purge of that kind names an answer of its service.

    :param uri: of the answer, host and target.
    """
    return {
        "all": True,
        "service": True,
        "uri": selector == uri,
        "prefix": uri.startswith(selector),
        "tag": selector in tags,
    }[kind]
