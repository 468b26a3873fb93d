"""A store that ends at the n-th write, before it or after: a disk that is full, an answer that is lost, a kill."""

from typing import Any, Final, Literal

from origin.storage.blobs import BlobStore

_WRITES: Final = frozenset({"put", "put_if_absent", "swap", "delete"})


class Killed(BaseException):
    """The process ends here."""


class Failing:
    """A store around another one."""

    def __init__(
        self, inner: BlobStore, at: int, end: BaseException | None = None, when: Literal["before", "after"] = "before"
    ) -> None:
        """:param at: the number of the write at which it ends, from 0. :param end: what is raised from then on."""
        self._inner, self.at, self._when = inner, at, when
        self._end = end or Killed()
        self.writes = 0
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        return (lambda *args, **kwargs: self._write(real, *args, **kwargs)) if name in _WRITES else real

    def _write(self, real: Any, *args: Any, **kwargs: Any) -> Any:
        number, self.writes = self.writes, self.writes + 1
        if number < self.at or (self.failed and not isinstance(self._end, Killed)):
            return real(*args, **kwargs)
        self.failed = True
        if self._when == "after" and number == self.at:
            real(*args, **kwargs)
        raise self._end
