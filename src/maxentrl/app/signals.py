"""What Ctrl-C and SIGTERM do to training: the first one asks it to stop, the second one breaks it off."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Asked:
    """How often somebody asked to stop; it is itself what handles the signals."""

    def __init__(self):
        self.times = 0

    def __call__(self, number: int, frame: Any) -> None:
        self.times += 1
        if self.times > 1:
            signal.default_int_handler(number, frame)


@contextlib.contextmanager
def listening() -> Iterator[Asked]:
    """Count Ctrl-C and SIGTERM, where only the second one raises. Within another `listening`, share its count."""
    asked = signal.getsignal(signal.SIGINT)
    if isinstance(asked, Asked):
        yield asked
        return
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
