"""What an edge goes by while it runs: its own options, read again when it is told to, over the fleet settings.

What cannot be used is said, and changes nothing. What is taken up while an edge runs is `edge.config.reload`'s to say.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from edge.access.access_log import AccessLog
from edge.catalogue.directory import Directory
from edge.common import log
from edge.common.service_manager import ServiceManager
from edge.config.fleet_settings import SETTABLE, laid_under
from edge.config.options import EdgeConfig
from edge.config.reload import reread
from edge.front.http import Front
from edge.operators.door import Operators
from edge.peers.pop import Pop
from edge.settings.memory import Memory
from edge.supervisor.supervisor import Supervisor
from vmimage.errors import NunatakError, OperatorError
from vmimage.fleet_settings import Version
from vmimage.settings import Settings

MEMORY_FILE: Final = "fleet_settings.json"

_logger: Final = log.logger("serve")


class Own(NamedTuple):
    """What an edge's own file, environment and command line say, and who said what."""

    config: EdgeConfig
    settings: Settings


class Parts(NamedTuple):
    """What goes by options."""

    supervisor: Supervisor
    front: Front
    operators: Operators
    access: AccessLog
    directory: Directory
    manager: ServiceManager
    pop: Pop | None


def over_fleet(own: Own, version: Version) -> Own:
    """An edge's own options over fleet settings.

    :raises OperatorError: these cannot be used.
    """
    if own.config.fleet_settings == "off" or not version.values:
        return own
    return Own(*laid_under(own.settings, version))


def kept_settings(cache: Path) -> Memory:
    """What an edge remembers of the fleet settings, which is what it begins with."""
    return Memory(cache / MEMORY_FILE)


def begin_with(own: Own, memory: Memory) -> tuple[Own, str]:
    """What an edge goes by at its start; and the name of the version that ended the one before, "" where none did."""
    ended = memory.trying
    try:
        memory.settle_start(time.time())
    except OSError as error:
        _logger.error(log.line("settings_not_kept", reason=error.strerror or error))
    return _laid(own, memory.in_force), ended


def begun_with(own: Own) -> Own:
    """What an edge would begin with, as far as this user may read what it remembers; nothing is changed."""
    return _laid(own, kept_settings(own.config.cache).in_force)


def _laid(own: Own, version: Version) -> Own:
    """The same, or an edge's own options alone where both do not go together, which is said."""
    try:
        return over_fleet(own, version)
    except OperatorError as error:
        _logger.error(log.line("settings_refused", version=version.name, reason=error))
        return own


class Running:
    """Of one edge. It is a `edge.settings.following.Layer`."""

    def __init__(self, parts: Parts, own: Own, version: Version, status: str) -> None:
        """:param version: of the fleet settings, by which it goes. :param status: that a service manager is told."""
        self.status = status
        self._parts, self._own, self._version = parts, own, version
        self._both = _laid(own, version)  # who said what of that by which it goes
        self.on_own: Callable[[], None] = lambda: None  # its own options are others

    def begin_anew(self, again: Callable[[], Own] | None) -> None:
        """SIGHUP: what was read once is read again."""
        parts = self._parts
        _logger.info(log.line("hangup"))
        parts.manager.reloading()
        parts.access.reopen()
        try:
            own = again() if again is not None else self._own
            both = _laid(own, self._version)  # or these alone where both do not go together
            self._take_up(both.config)
            self._own, self._both = own, both
            self.on_own()
        except NunatakError as error:
            _logger.error(log.line("not_reloaded", error=error))
        parts.directory.look_now()
        if parts.supervisor.secrets is not None:
            parts.supervisor.secrets.look_now()
        parts.manager.ready(self.status)

    def check_fleet(self, version: Version) -> None:
        """As `Layer.check_fleet`."""
        over_fleet(self._own, version)

    def take_fleet(self, version: Version) -> None:
        """As `Layer.take_fleet`."""
        both = over_fleet(self._own, version)
        self._take_up(both.config)
        self._version, self._both = version, both

    def said(self) -> Mapping[str, Any]:
        """Options that fleet settings may have: value, and who said it."""
        config, settings = self._parts.supervisor.config, self._both.settings
        shown = {name: settings.shown(config, name) for name in sorted(SETTABLE)}
        return {name: {"value": value, "from": where} for name, (value, where) in shown.items()}

    def _take_up(self, read: EdgeConfig) -> None:
        """:raises NunatakError: some of it cannot be used; all stays as it was."""
        parts = self._parts
        before = parts.supervisor.config
        config, changed, waiting = reread(before, read)
        config.log_secret  # noqa: B018  # the files that options name are looked at before anything changes
        log_to = log.opened(config.log) if config.log != before.log else None
        log_requests = parts.access.prepared(config)
        if parts.pop is not None:
            parts.pop.reload(config)
        parts.operators.reload(config)
        parts.supervisor.reconfigure(config)
        parts.front.reconfigure(config)
        log_requests()
        if log_to is not None:
            log.send_to(log_to)
        _logger.info(log.line("reloaded", changed=" ".join(changed) or "nothing"))
        if waiting:
            _logger.warning(log.line("restart_needed", options=" ".join(waiting)))
