"""When has somebody who edits or copies a file finished?"""

from __future__ import annotations


def is_settled(now_s: float, touched_s: float, seen_since_s: float, settle_s: float) -> bool:
    """Whether a content counts, `settle_s` after the last sign of work on it.

    Either the file was last touched (`touched_s`; 0 where that is not known) that long ago, or two
    looks that far apart have found the same content, which holds on disks with a wrong clock too.
    """
    untouched = touched_s > 0 and now_s - touched_s >= settle_s
    return untouched or now_s - seen_since_s >= settle_s
