"""An edge follows the fleet settings of its origin: taken up in turn, measured, kept, or gone back from by itself.

What the signed list says is looked at after each look at the catalogue; what of it cannot be read is said, and the last
that could goes on. A candidate is measured before it is taken up and after; a stable version is taken up at once, and
has proved itself when the edge has lived with it for a while. What was gone back from is in `memory`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from edge.common import log
from edge.model.finished import Finished
from edge.releases.gates import Cause
from edge.releases.trial import counts_of
from edge.settings.choice import Back, Meant, meant_for
from edge.settings.comparison import PROVEN_S, REFUSED, Comparison, narrowed, seen
from edge.settings.memory import Memory
from edge.supervisor.supervisor import Supervisor
from vmimage.errors import FormatError, NunatakError
from vmimage.fleet_settings import FleetSettings, Version, parse_settings, parse_stop
from vmimage.fleet_settings_report import SettingsReport, State
from vmimage.release import Gates

TICK_S: Final = 1.0

_logger: Final = log.logger("fleet_settings")


class Layer(Protocol):
    """What lays a version of the fleet settings under an edge's own options."""

    def check_fleet(self, version: Version) -> None:
        """:raises NunatakError: it cannot be used here."""

    def take_fleet(self, version: Version) -> None:
        """Go by it from now on.

        :raises NunatakError: it cannot be used here; nothing has changed.
        """


class Trial:
    """A version that is meant for this edge, and has not proved itself here yet."""

    def __init__(self, meant: Meant, now: float) -> None:
        self.version, self.stable = meant.version, meant.gates is None
        self.comparison = Comparison(meant.gates or Gates(), now)
        self.taken_up_at: float | None = None  # loop time; None: it is measured how the edge is without
        self.refused: Container[str] = REFUSED.values()  # what of it counts as failed

    def is_proven(self, now: float) -> bool:
        """Whether it was looked at for long enough."""
        if self.stable:
            return self.taken_up_at is not None and now - self.taken_up_at >= PROVEN_S
        return self.comparison.is_proven(now)


class Following:
    """One edge's."""

    def __init__(
        self,
        supervisor: Supervisor,
        memory: Memory,
        layer: Layer,
        listen: Callable[[Callable[[Finished], None]], Callable[[], None]],
        ended: str = "",
    ) -> None:
        """:param layer: goes by what `memory` has in force. :param listen: has all requests told, and ends that.

        :param ended: name of the version under which the edge before has ended.
        """
        self._supervisor, self._memory, self._layer, self._listen = supervisor, memory, layer, listen
        self._counters, self._loop = supervisor.counters, asyncio.get_running_loop()
        self._signed: object = None  # as it was looked at last
        self._said: FleetSettings | None = None  # the last that could be read; None: nothing was looked at yet
        self._malformed = ""  # why what is signed cannot be read
        self._why = ""  # in words, why a version could not be used
        self._trial: Trial | None = None
        self._over = SettingsReport()  # what was seen of the last trial
        self._end_listening: Callable[[], None] = lambda: None
        self._crashes: Counter[str] = Counter()  # by tenant
        self.in_force = memory.in_force
        self.on_news: Callable[[], None] = lambda: None  # there is something to tell the origin
        if ended:
            self._count("ended")
            _logger.error(log.line("settings_back", version=ended, cause="ended", by="edge"))
        directory = supervisor.directory
        before = directory.on_look

        def looked() -> None:
            before()
            self.look()

        directory.on_look = looked
        supervisor.settings_troubles = self.troubles
        supervisor.tasks.keep("fleet_settings", self._tick)

    # What is signed.

    def look(self) -> None:
        """The catalogue was looked at, or the edge's own options are others."""
        signed = self._supervisor.directory.fleet_settings
        if self._said is None or signed != self._signed:
            self._signed = signed
            try:
                self._said, self._malformed = parse_settings(signed), ""
            except FormatError as error:
                self._malformed = str(error)
                self._count("malformed")
                _logger.error(log.line("settings_refused", reason=error))
                self.on_news()
        self._follow()

    def _follow(self) -> None:
        said, config, memory = self._said, self._supervisor.config, self._memory
        if said is None:
            return
        if config.fleet_settings == "off":
            self._drop(memory.good)
            return
        meant = meant_for(said, config.edge_name, config.pop, memory.back)
        target = memory.good if meant.back is not None else meant.version
        trial = self._trial
        if trial is not None and trial.version.name == target.name:
            self._go_on(trial, meant)
        elif target.name in ("", memory.good.name) or (memory.kept is not None and target.name == memory.kept.name):
            self._drop(target)
            if meant.gates is None and meant.back is None and target.name != memory.good.name:
                self._kept(memory.prove, target, stable=True)
        else:
            self._drop(memory.good)
            self._begin(meant)

    def _go_on(self, trial: Trial, meant: Meant) -> None:
        if meant.gates is not None:
            trial.comparison.take_up(meant.gates)
        elif not trial.stable:  # the operator has finished it: its gates have nothing to say any more
            trial.stable = True
            self._stop_listening()
            if trial.taken_up_at is None:
                self._change(trial)
            else:
                self._kept(self._memory.try_, trial.version, stable=True)

    def _drop(self, target: Version) -> None:
        """Nothing is tried any more: go by what has proved itself here."""
        self._end_trial()
        memory = self._memory
        if memory.trying or (memory.kept is not None and memory.kept.name != target.name):
            self._kept(memory.drop)
        self._go_by(target)

    def _go_by(self, version: Version) -> None:
        if version.name != self.in_force.name:
            try:
                self._layer.take_fleet(version)
            except NunatakError as error:  # the edge's own options are others than when it was good
                self._refused(version, error)
                return
            self.in_force = version
            self.on_news()

    # Trials.

    def _begin(self, meant: Meant) -> None:
        version = meant.version
        try:
            self._layer.check_fleet(version)
        except NunatakError as error:
            self._refused(version, error)
            self._record(version.name, Back("refused", time.time(), "edge", meant.gates is None))
            return
        trial = self._trial = Trial(meant, self._loop.time())
        self._crashes = self._crashes_now()
        if trial.stable:
            self._change(trial)
        else:
            self._end_listening = self._listen(self._finished)
            self.on_news()

    def _change(self, trial: Trial) -> None:
        """Go by a version that has to prove itself; where the disk does not take that it does, it is tried later."""
        try:
            self._memory.try_(trial.version, stable=trial.stable)
        except OSError as error:
            _logger.error(log.line("settings_not_kept", reason=error.strerror or error))
            return
        before = self._supervisor.config
        try:
            self._layer.take_fleet(trial.version)
        except NunatakError as error:
            self._refused(trial.version, error)
            self._record(trial.version.name, Back("refused", time.time(), "edge", trial.stable))
            self._end_trial()
            return
        trial.taken_up_at, trial.refused = self._loop.time(), narrowed(before, self._supervisor.config)
        trial.comparison.change(trial.taken_up_at)
        self.in_force = trial.version
        self._count("tried")
        _logger.info(log.line("settings_tried", version=trial.version.name, stable=trial.stable))
        self.on_news()

    def _finished(self, finished: Finished) -> None:
        """A request is over, while one is tried."""
        trial = self._trial
        what = seen(finished, trial.refused) if trial is not None else None
        if trial is None or what is None:
            return
        cause = trial.comparison.answered(what, self._loop.time())
        if cause is not None:  # not from within the request that broke the gate
            self._loop.call_soon(self._back, trial, cause, "edge")

    async def _tick(self) -> None:
        while True:
            if self._trial is not None:
                self._judge(self._trial, self._loop.time())
            await asyncio.sleep(TICK_S)

    def _judge(self, trial: Trial, now: float) -> None:
        crashed = self._crashed(trial)  # before it is taken up, too: these are not its doing
        if trial.taken_up_at is None:
            if trial.stable or trial.comparison.is_measured(now):
                self._change(trial)
            return
        if not trial.stable:
            cause = crashed or trial.comparison.look(now)
            if cause is not None:
                self._back(trial, cause, "edge")
                return
        if trial.is_proven(now):
            self._count("kept")
            _logger.info(log.line("settings_kept", version=trial.version.name))
            self._kept(self._memory.prove, trial.version, stable=trial.stable)
            self._end_trial()

    def _crashed(self, trial: Trial) -> Cause | None:
        crashes = self._crashes_now()
        new, self._crashes = crashes - self._crashes, crashes
        causes = [trial.comparison.crashed(times, tenant) for tenant, times in sorted(new.items())]
        return next((cause for cause in reversed(causes) if cause is not None), None)

    def _back(self, trial: Trial, cause: str, by: str) -> None:
        if trial is not self._trial or trial.stable:
            return
        self._count(cause)
        seen_of = trial.comparison
        about = {"requests": seen_of.after.requests, "failed": seen_of.after.failed, "crashes": seen_of.after.crashes}
        _logger.error(log.line("settings_back", version=trial.version.name, cause=cause, by=by, **about))
        self._record(trial.version.name, Back(cause, time.time(), by))
        self._end_trial()
        self._follow()
        self.on_news()

    def _end_trial(self) -> None:
        trial, self._trial = self._trial, None
        if trial is None:
            return
        self._over = self._report_of(trial)
        self._stop_listening()

    def _stop_listening(self) -> None:
        self._end_listening()
        self._end_listening = lambda: None

    def stop(self, body: object) -> None:
        """The origin has stopped a candidate everywhere; one that is not known here yet, too.

        :param body: of the event that says so, whose signature was checked.
        """
        try:
            said = parse_stop(body)
        except FormatError as error:
            _logger.error(log.line("settings_stop_refused", error=error))
            return
        if said.name in self._memory.back or (self._said is not None and said.name == self._said.stable.name):
            return
        trial = self._trial
        if trial is not None and trial.version.name == said.name:
            self._back(trial, said.cause, "origin")
            return
        self._record(said.name, Back(said.cause, time.time(), "origin"))
        self._follow()

    def _refused(self, version: Version, error: NunatakError) -> None:
        self._why = str(error)
        self._count("refused")
        _logger.error(log.line("settings_refused", version=version.name, reason=error))
        self.on_news()

    def _record(self, name: str, back: Back) -> None:
        self._kept(self._memory.went_back, name, back)

    def _kept(self, work: Callable[..., None], *arguments: object, **named: object) -> None:
        try:
            work(*arguments, **named)
        except OSError as error:
            _logger.error(log.line("settings_not_kept", reason=error.strerror or error))

    def _count(self, outcome: str) -> None:
        self._counters.add(self._counters.fleet_settings, outcome)

    def _crashes_now(self) -> Counter[str]:
        crashes = Counter[str]()
        for service in self._supervisor.directory.by_name.values():
            crashes[service.tenant] += service.crashes + (service.candidate.crashes if service.candidate else 0)
        return crashes

    def close(self) -> None:
        """The edge ends as it should."""
        self._kept(self._memory.end)

    # For operators, and for the origin.

    def report(self) -> SettingsReport:
        """What the origin is told."""
        trial = self._trial if not self._malformed else None  # what cannot be read is told first
        report = self._report_of(trial) if trial is not None else self._settled()
        return replace(report, number=self.in_force.number if self._supervisor.config.fleet_settings == "on" else 0)

    def _report_of(self, trial: Trial) -> SettingsReport:
        seen_of = trial.comparison
        state: State = "measuring" if trial.taken_up_at is None else "trying"
        counts = counts_of(seen_of.before), counts_of(seen_of.after)
        return SettingsReport(0, state, trial.version.name, "", *counts)

    def _settled(self) -> SettingsReport:
        said = self._said
        if self._supervisor.config.fleet_settings == "off":
            return SettingsReport(state="off")
        if self._malformed or said is None:
            cause = "malformed" if self._malformed else ""
            return SettingsReport(state="refused" if cause else "kept", cause=cause)
        meant = [staged.version.name for staged in (said.candidate,) if staged is not None]
        for name in (*meant, said.stable.name):
            back = self._memory.back.get(name)
            if back is None or (name == said.stable.name and not back.stable):
                continue
            over = self._over if self._over.tried == name else SettingsReport(tried=name)
            return replace(over, state="refused" if back.cause == "refused" else "back", cause=back.cause)
        return SettingsReport(tried=self._over.tried, before=self._over.before, after=self._over.after)

    def troubles(self) -> tuple[list[str], list[str]]:
        """What was gone back from, and what cannot be read or used, a line each."""
        report = self.report()
        goes_by = f"it goes by version {self.in_force.number}"
        if self._malformed:
            return [], [f"what is signed cannot be read, {goes_by}: {self._malformed}"]
        if report.state == "refused":
            return [], [f"version {report.tried} cannot be used here, {goes_by}: {self._why or 'before its start'}"]
        return ([f"version {report.tried} ({report.cause}), {goes_by}"] if report.state == "back" else []), []

    def describe(self) -> Mapping[str, Any]:
        """The same for operators."""
        report = self.report().to_json()
        back = {name: {"cause": back.cause, "at": back.at, "by": back.by} for name, back in self._memory.back.items()}
        return {**report, "in_force": self.in_force.name, "values": dict(self.in_force.values), "back": back}
