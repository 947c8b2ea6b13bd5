"""Look whether S3 has what was written."""

import time
from collections.abc import Callable

TRIES = 6
PAUSE_S = 0.5


def read_back[T](read: Callable[[], T], is_right: Callable[[T], bool]) -> T:
    """Read until it is right, three seconds at most: a setting of a bucket is not seen everywhere at once.

    Returns what was read last. Source: S3 user guide, "Amazon S3 data consistency model", bucket configurations
    """
    found = read()
    for _ in range(TRIES - 1):
        if is_right(found):
            break
        time.sleep(PAUSE_S)
        found = read()
    return found
