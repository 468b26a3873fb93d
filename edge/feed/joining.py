"""An edge joins its fleet: it follows the feed and says how it is, as its options have it."""

from edge.catalogue.urgent import FedCatalogue
from edge.config.options import EdgeConfig
from edge.feed.beats import Beats
from edge.feed.begin import carrier
from edge.feed.facts import Facts
from edge.feed.follower import Follower
from edge.feed.sse import HttpLog
from edge.supervisor.supervisor import Supervisor


class Joined:
    """What runs of it, for others to be told by and to add to."""

    def __init__(self, config: EdgeConfig, catalogue: FedCatalogue, supervisor: Supervisor) -> None:
        """Begin.

        :raises OperatorError: what an option needs is not there.
        """
        urls = [place.base for place in config.places if place.kind == "origin"]  # parents have a feed, too
        self.facts = Facts(supervisor)
        self.beats: Beats | None = None
        self.follower: Follower | None = None
        counters, tasks = supervisor.counters, supervisor.tasks
        if config.edge_token:
            self.beats = Beats(config.fleet or config.origin, config.edge_secret, self.facts.heartbeat, counters)
            tasks.keep("heartbeats", self.beats.run)
        if config.feed != "off":

            def origin() -> str | None:
                mark = catalogue.mark
                return mark.origin if mark is not None else None

            self.follower = Follower(
                carrier(config, urls, origin),
                HttpLog(urls),
                catalogue,
                supervisor.directory,
                supervisor.responses,
                supervisor.heard,
                counters,
                config.cache / "feed.json",
            )
            if self.beats is not None:
                self.follower.on_applied = self.beats.soon
            tasks.keep("feed_work", self.follower.work)
            tasks.keep("feed", self.follower.listen)

    async def close(self) -> None:
        """Let go of all connections."""
        if self.follower is not None:
            await self.follower.close()
