"""What is still in memory: how many objects of a class, and how many bytes an action has left behind."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

_Kind = TypeVar("_Kind")


def alive(kind: type[_Kind]) -> list[_Kind]:
    """All objects of this class that somebody still holds."""
    gc.collect()
    return [found for found in gc.get_objects() if type(found) is kind]


def kept_bytes(action: Callable[[], object]) -> int:
    """Bytes that were allocated while it ran, and are not free again after it."""
    tracemalloc.start()
    try:
        action()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
