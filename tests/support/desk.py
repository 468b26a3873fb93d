"""Requests as a front meets them and tells of them, with nobody who serves any."""

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.options import EdgeConfig, load_config
from edge.front.marks import Marks
from edge.front.request import Request
from edge.front.telling import Telling
from edge.model.finished import Finished
from tests.support.connections import Wire, get

_GIVEN = {"origin": "http://127.0.0.1:1", "trust": "root.json", "cache": "cache"}


def config(**given: str) -> EdgeConfig:
    """An edge's, with these options."""
    return load_config(None, {**_GIVEN, **given})


def taken(*fields: str) -> Request:
    """A request that came with these fields, from 192.0.2.1."""
    wire = Wire()
    wire.feed(get("/page?a=1", *fields))
    return wire.taken[0]


class Desk:
    """What a front does with a request before and after it is answered."""

    def __init__(self, **given: str) -> None:
        self.counters = Counters()
        self.tasks = Tasks(self.counters)
        self.marks = Marks(config(**given))
        self.telling = Telling(self.marks, self.tasks)
        self.told: list[Finished] = []

    def met(self, *fields: str) -> Request:
        """A request that has come."""
        request = taken(*fields)
        request.id = self.marks.id_of(request)
        self.telling.begin(request)
        return request
