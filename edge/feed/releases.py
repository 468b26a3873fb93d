"""What is staged in a fleet: heart-beats say what is seen of releases and settings, an event of the origin stops one.

Events of kind "release" stop a release or a candidate of the fleet settings: their bodies say which. So an edge of an
earlier version, which would not take an event of another kind, does not lose its place in the feed.
"""

from collections.abc import Mapping
from typing import Any

from edge.feed.joining import Joined
from edge.releases.releases import Releases
from edge.settings.following import Following
from vmimage.feed import Event
from vmimage.fleet_settings import is_stop
from vmimage.release_report import reports_value


def join_releases(joined: Joined, releases: Releases, settings: Following) -> None:
    """Let an edge's releases and settings, and its fleet, know of each other."""

    def measured() -> Mapping[str, Any]:
        reports = reports_value(releases.reports())
        return {"settings": settings.report().to_json(), **({"releases": reports} if reports else {})}

    def stop(event: Event) -> None:
        if is_stop(event.body):
            settings.stop(event.body)
        else:
            releases.freeze(event.body)

    joined.facts.measured = measured
    if joined.follower is not None:
        joined.follower.on_release = stop
    beats = joined.beats
    if beats is not None:
        releases.on_stop = lambda _: beats.soon()
        settings.on_news = beats.soon
