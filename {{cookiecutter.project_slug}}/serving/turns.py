"""Whose turn it is to accept: all workers listen on one socket, and the fastest would take all.

A worker with more connections than another pauses for a moment, so that the other takes the
client. Where the client still waits afterwards the others are busy, and it takes it; the longer
they are, the more it takes before it pauses again.
"""

from __future__ import annotations

import time

from serving import shared

MORE = 1  # connections that a worker may have above another
PAUSE = 0.02  # seconds at most
MOST_WITHOUT_PAUSE = 64  # connections in a row while nobody else takes any


class Turns:
    def __init__(self) -> None:
        self._ends = 0.0
        self._granted = self._free = 0
        self._in_vain = False  # the pause is over, and it is still not this worker's turn

    def lets_another(self, connections: int) -> bool:
        """Whether to leave the client that waits to another worker, and pause.

        :param connections: those that this worker has.
        """
        if connections <= shared.fewest_connections() + MORE:
            self._granted = self._free = 0
            return False
        if self._free > 0:
            self._free -= 1
            return False
        if self._in_vain:
            self._granted = min(2 * self._granted or 1, MOST_WITHOUT_PAUSE)
            self._free = self._granted - 1
            return False
        self._ends = time.monotonic() + PAUSE
        return True

    @property
    def is_pausing(self) -> bool:
        return self._ends > 0

    def may_end_the_pause(self, connections: int) -> bool:
        """Whether there is no pause, or no more: its time is over, or it is this worker's turn."""
        if not self.is_pausing:
            return True
        is_my_turn = connections <= shared.fewest_connections() + MORE
        if not is_my_turn and time.monotonic() < self._ends:
            return False
        self._ends, self._in_vain = 0.0, not is_my_turn
        return True

    def round_is_over(self) -> None:
        """Whoever waited after a pause has been seen by now."""
        self._in_vain = False
