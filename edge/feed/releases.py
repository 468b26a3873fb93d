"""Releases in stages in a fleet: heart-beats say what is seen of them, and an event of the origin stops one."""

from collections.abc import Mapping
from typing import Any

from edge.feed.joining import Joined
from edge.releases.releases import Releases
from vmimage.release_report import reports_value


def join_releases(joined: Joined, releases: Releases) -> None:
    """Let an edge's releases and its fleet know of each other."""

    def measured() -> Mapping[str, Any]:
        reports = reports_value(releases.reports())
        return {"releases": reports} if reports else {}

    joined.facts.measured = measured
    if joined.follower is not None:
        joined.follower.on_release = lambda event: releases.freeze(event.body)
    beats = joined.beats
    if beats is not None:
        releases.on_stop = lambda _: beats.soon()
