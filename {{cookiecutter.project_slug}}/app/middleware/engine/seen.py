"""What was seen already: so that a log says a thing once, however often clients bring it about."""

from __future__ import annotations

import threading

MOST = 100  # texts; whoever makes up more of them is not worth a line each


class Seen:
    """A bounded set of texts; when it is full, nothing is new any more."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.texts: set[str] = set()
        self.lock = threading.Lock()

    def is_new(self, text: str) -> bool:
        if text in self.texts:
            return False
        with self.lock:
            is_new = text not in self.texts and len(self.texts) < self.most
            if is_new:
                self.texts.add(text)
            return is_new
