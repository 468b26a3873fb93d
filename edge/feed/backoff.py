"""When a stream that broke is asked for again: pure, without a clock.

An origin that ends is left by all its edges at once. Each comes again after a time of its own choice, anywhere between
0.2 s and a bound that the origin names and that doubles up to 10 s, so that they come one by one.
"""

from typing import Final

FIRST_S: Final = 0.2
SPREAD_S: Final = 6.0  # the first bound, where the origin names none
LAST_S: Final = 10.0


def pause_s(failures: int, chance: float, spread_s: float = SPREAD_S) -> float:
    """Seconds before the next try.

    :param failures: in a row, this one included: a stream that broke is the first.
    :param chance: from 0 to 1, evenly spread. :param spread_s: what the origin names.
    """
    bound = min(LAST_S, max(FIRST_S, spread_s) * 2.0 ** min(failures - 1, 16))
    return FIRST_S + chance * (bound - FIRST_S)
