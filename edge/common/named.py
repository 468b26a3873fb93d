"""Which services are named in metrics, where only so many may be: those that are asked most, with few changes.

A metric has a line for each value of a label, and a service costs a monitor some hundred lines. So a bounded number of
services has lines of its own, and the others share theirs. Pure.
"""

import heapq
from collections.abc import Mapping
from typing import Final

LEAD: Final = 2  # who takes another's place is asked more than so many times as often: no two take turns


def exchanges(named: Mapping[str, int], others: Mapping[str, int], most: int) -> list[tuple[str, str]]:
    """Who gives a place up to whom, weakest and strongest first.

    :param named: services with a place, each with how often it was asked lately. :param others: those without.
    :param most: places that may change hands.
    :return: who leaves and who enters, for each place.
    """
    weakest = heapq.nsmallest(most, named, key=lambda name: (named[name], name))
    strongest = heapq.nsmallest(most, others, key=lambda name: (-others[name], name))
    pairs = zip(weakest, strongest, strict=False)
    return [(leaves, enters) for leaves, enters in pairs if others[enters] > LEAD * named[leaves]]
