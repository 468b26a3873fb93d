"""What says which service a name is, to who looks names up: the interface that the signed catalogue fills."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

from vmimage.holds import Holds
from vmimage.trust import ServiceRecord

Kind = Literal["host", "service"]


class Names(Protocol):
    """What says which service a name is: the signed catalogue. Its methods may block; they are called in one thread."""

    @property
    def expired(self) -> bool:
        """Whether it is too old to be believed in anything new."""

    @property
    def expired_for_s(self) -> float:
        """Since its date, in seconds; 0 before that."""

    def expiries(self) -> Mapping[str, datetime]:
        """When what is signed by hand ends, by role, as far as it is known."""

    def refresh(self) -> bool:
        """Learn what has changed; whether anything has."""

    def fetch_ahead(self) -> bool:
        """Learn a part of what nobody has asked for yet; whether there was any."""

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        """What the service is now; without asking the origin at once, and None where that cannot be told."""

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        """The service that answers for a host; the same."""

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        """What is said of a service that there is no more; with or without asking the origin."""

    def holds(self) -> Holds:
        """What the operator of the origin holds, as far as it is known here."""

    def is_held(self, kind: Kind, name: str) -> bool:
        """Whether there is none under this name because the operator of the origin holds it."""
