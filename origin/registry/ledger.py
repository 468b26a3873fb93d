"""The catalogue in its store: what it says now, how that changes, and how one origin takes up what others have done.

A change counts from the moment at which `changes/<version>.json` is there (`origin/registry/changes.py`); edges see it
with the timestamp. Both are compared before they are written, so of several origins one is first, and the others read
again. An origin that is alone, over a folder, takes back a change that the disk has no room for.

All methods block. One change at a time: the caller holds a lock.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from tuf.api.metadata import Root

from origin.model.exchange import TIMESTAMP_FILE
from origin.registry.changes import change_key, encode_change, parse_change
from origin.registry.renewals import older_roots, roots_of
from origin.registry.roles import (
    VERSIONS_KEPT,
    Files,
    Online,
    Published,
    first_roles,
    outdated,
    renew,
    resume,
    saying,
    take_up,
)
from origin.registry.store import Store
from origin.storage.blobs import Changed
from vmimage.errors import OperatorError
from vmimage.trust import Trust, follow, root_version

_TIMESTAMP: Final = f"tuf/{TIMESTAMP_FILE}"


class Lost(Exception):
    """Another origin changed the catalogue first; it was taken up. Check again, sign again."""


class Ledger:
    """What the catalogue in a store says."""

    state: Published
    online: Online

    def __init__(
        self,
        store: Store,
        metadata: Mapping[str, bytes],
        find_online: Callable[[Root], Online],
        clock: Callable[[], datetime],
    ) -> None:
        """Resume what the store holds, or found it with `metadata` ("1.root.json", "1.targets.json").

        :raises OperatorError: the store belongs to other keys.
        """
        self._store, self._find_online, self._clock = store, find_online, clock
        self._tag: str | None = None  # of the timestamp that `state` was taken from
        roots = roots_of((data for name, data in metadata.items() if name.endswith(".root.json")), store.read_metadata)
        self._roots = [follow(roots), *older_roots(roots)]  # the newest first
        self.online = find_online(self._roots[0])
        for data in roots:
            name = f"{root_version(data)}.root.json"
            if store.read_metadata(name) is None:
                store.write_metadata(name, data)
        if store.blobs.head(_TIMESTAMP) is None:
            self._found(metadata)
        self.catch_up()
        with suppress(Lost):
            self.renew()

    def _found(self, metadata: Mapping[str, bytes]) -> None:
        ((name, targets),) = ((name, data) for name, data in metadata.items() if name.endswith(".targets.json"))
        self._store.write_metadata(name, targets)
        files, _ = first_roles(Trust(self._roots[0], targets), targets, self.online, self._clock())
        data = encode_change(files[:-1])
        if not self._store.blobs.put_if_absent(change_key(1), data):
            files = [*parse_change(self._store.blobs.get(change_key(1)), 1, self._roots), files[-1]]
            # Of two who found it at once the other signed another snapshot: the timestamp must name that one.
            snapshot = dict(files)["1.snapshot.json"]
            files[-1] = take_up(None, 1, snapshot, self.online, self._clock())
        for name, data in files[:-1]:
            self._store.write_metadata(name, data)
        with suppress(Changed):
            self._store.blobs.swap(_TIMESTAMP, None, files[-1][1])
        if not self._store.shared:
            self._store.blobs.delete(change_key(1))

    def catch_up(self) -> None:
        """Take up what others have published, roots that were laid into the store among it, and finish what one of
        them began.

        :raises OperatorError: the store belongs to other keys, or is damaged.
        """
        while True:
            found = self._store.blobs.read(_TIMESTAMP)
            if found is None:
                raise OperatorError(f"{_TIMESTAMP} expected in the store, not there: restore the store from its backup")
            timestamp, tag = found
            if self._follow_roots() or tag != self._tag:
                self._resume(timestamp, tag)
            version = self.state.snapshot.version + 1
            change = self._store.change(version)
            if change is None:
                return
            files = parse_change(change, version, self._roots)
            self._lay_out(files)
            self._follow_roots()
            file = take_up(
                self.state.timestamp, version, dict(files)[f"{version}.snapshot.json"], self.online, self._clock()
            )
            with suppress(Changed):  # then others have, and this sees what
                self._store.blobs.swap(_TIMESTAMP, self._tag, file[1])

    def _resume(self, timestamp: bytes, tag: str) -> None:
        def read(name: str) -> bytes | None:
            return timestamp if name == TIMESTAMP_FILE else self._store.read_metadata(name)

        state = resume(self._roots[0], read, self._roots[1:])
        assert state is not None, "there is a timestamp"
        self.state, self._tag = self._as_stored(state), tag

    def _follow_roots(self) -> bool:
        """Whether there were new ones."""
        before = self._roots[0]
        while (data := self._store.read_metadata(f"{self._roots[0].version + 1}.root.json")) is not None:
            self._roots.insert(0, follow([data], self._roots[0]))
        if self._roots[0] is before:
            return False
        self.online = self._find_online(self._roots[0])
        return True

    def advance(self, files: Files, state: Published) -> None:
        """Publish what follows from `self.state`, durably: files, of which the timestamp is the last.

        :raises Lost: another origin was first.
        :raises OSError: the store takes no more. Over a folder nothing has changed; a bucket may have the change all
            the same, and then the next who looks finishes it.
        """
        *changed, (_, timestamp) = files
        version = state.snapshot.version
        try:
            if changed:
                self._begin(version, changed)
            tag = self._store.blobs.swap(_TIMESTAMP, self._tag, timestamp)
        except Changed:
            self.catch_up()
            if not changed or not self._is_there(version, changed):
                raise Lost from None
        except OSError:
            # How far the files got decides what edges may have seen.
            if changed and not self._store.shared:
                self._store.blobs.delete(change_key(version))
            self._tag = None
            with suppress(OSError):
                self.catch_up()
            if not changed or not self._store.shared or not self._is_there(version, changed):
                raise
        else:
            self.state, self._tag = self._as_stored(state), tag
            self._follow_roots()
        if changed:
            self._clear(version, files)

    def _begin(self, version: int, files: Files) -> None:
        """Let a change count, and lay it out. :raises Changed: another came first."""
        blobs, data = self._store.blobs, encode_change(files)
        if not blobs.put_if_absent(change_key(version), data) and self._store.change(version) != data:
            raise Changed
        found = blobs.read(_TIMESTAMP) if self._store.shared else None
        if found is not None and found[1] != self._tag:
            before = self.state.snapshot.version
            self._resume(*found)
            if self.state.snapshot.version != before and not self._is_there(version, files):
                # Whoever was asleep for long has made a change anew that is done and forgotten.
                blobs.delete(change_key(version))
            raise Changed  # by a fresh timestamp it may be: `catch_up` lays this out
        self._lay_out(files)

    def _lay_out(self, files: Files) -> None:
        for name, data in files:
            self._store.write_metadata(name, data)

    def _is_there(self, version: int, files: Files) -> bool:
        name = f"{version}.snapshot.json"
        return self.state.snapshot.version >= version and self._store.read_metadata(name) == dict(files)[name]

    def _clear(self, version: int, files: Files) -> None:
        """Remove what nobody reads any more; it may be done later, or never."""
        with suppress(OSError):
            self._store.blobs.delete(change_key(version - VERSIONS_KEPT if self._store.shared else version))
            for name in outdated(files):
                self._store.forget_metadata(name)

    def renew(self, fields: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Sign a fresh timestamp.

        :param fields: what it says from now on beside the fields of TUF, and what it has said.
        :raises Lost: another origin has.
        """
        state = replace(self.state, timestamp=saying(self.state.timestamp, fields)) if fields else self.state
        self.advance(*renew(state, self.online, self._clock()))

    def _as_stored(self, state: Published) -> Published:
        """With its bins in the store, and not in memory."""
        return replace(state, read=self._store.read_metadata, held={})
