"""How long to wait before something that crashed is started again: pure, without a clock."""

from typing import Final

HEALTHY_S: Final = 10.0  # a machine or worker that lived so long ended for a new cause, not for the same again
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 30.0


def after_crash(crashes: int, lived_s: float, pause_max_s: float = BACKOFF_MAX_S) -> tuple[int, float]:
    """Crashes in a row, this one included, and the pause before the next start in seconds: 0, 0.1, 0.2, 0.4 ... 30.

    :param crashes: in a row before this one.
    :param lived_s: infinite for one that has done its work, however short its life was.
    :param pause_max_s: the longest pause.
    """
    crashes = 1 if lived_s >= HEALTHY_S else crashes + 1
    return crashes, 0.0 if crashes == 1 else min(pause_max_s, BACKOFF_FIRST_S * 2.0 ** min(crashes - 2, 16))
