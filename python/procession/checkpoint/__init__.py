"""Checkpoints: what is done stands in a journal, so that after a crash of everything the same call goes on from there.

`journal` is the file, `identity` tells whether function and items are the same as before, `resuming` puts an iterable
together of what is known already and what is still to be done. Nothing here knows of pools: who does the work is handed
in. `Pool.map(checkpoint=...)` and the commands are built on it.

A journal is opened by unpickling what is in it: open only your own.
"""

from __future__ import annotations

from .given import Checkpoint, CheckpointStatistics

__all__ = ["Checkpoint", "CheckpointStatistics"]

for _public in (Checkpoint, CheckpointStatistics):
    _public.__module__ = __name__  # what messages and reprs say
