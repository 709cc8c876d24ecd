"""What a training run says while it goes on, what it counts, and when it is asked to stop."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from maxentrl.app.signals import Asked
from maxentrl.learn.loop import Progress

EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


class Compilation:
    """Programs compiled from now on, and the seconds that took."""

    def __init__(self):
        import jax

        self.count, self.seconds, self.active = 0, 0.0, True
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: Any) -> None:
        # A listener cannot be taken out again through JAX's public interface, so it is silenced instead.
        if self.active and event.endswith("backend_compile_duration"):
            self.count += 1
            self.seconds += duration_secs


class Clock:
    """When a run began, and how fast it goes: compilation apart."""

    def __init__(self):
        self.started, self.begun = time.time(), time.monotonic()
        self.compilation = Compilation()
        self._first: tuple[float, int, float] | None = None
        self.rate = float("nan")
        self.done = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def tick(self, done: int) -> None:
        """`done` steps were made, of each seed, in this process."""
        now, self.done = time.monotonic(), done
        if self._first is None:
            # The first piece holds the compilation of the loop.
            self._first = (now, done, self.compilation.seconds)
            return
        then, before, compiled = self._first
        busy = now - then - (self.compilation.seconds - compiled)
        if done > before and busy > 0:
            self.rate = (done - before) / busy

    def timing(self, seeds: int) -> dict[str, Any]:
        """For timing.json."""
        self.compilation.active = False
        known = self.rate == self.rate
        return {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "wall_seconds": round(self.seconds, 3),
            "compile_seconds": round(self.compilation.seconds, 3),
            "compilations": self.compilation.count,
            "steps": self.done * seeds,
            "steps_per_second": round(self.rate * seeds, 1) if known else None,
            "processors": os.cpu_count(),
        }


class Stop:
    """Whether to stop, and why: the time is over, or somebody asked (Ctrl-C, SIGTERM)."""

    def __init__(self, max_time: float | None, asked: Asked):
        self.begun, self.max_time, self.asked = time.monotonic(), max_time, asked
        self.why: str | None = None

    def __call__(self) -> bool:
        if self.why is None and self.asked.times:
            self.why = "interrupted"
        if self.why is None and self.max_time is not None and time.monotonic() - self.begun >= self.max_time:
            self.why = "its time was over"
        return self.why is not None


class Watch:
    """Says nothing; the siblings below speak."""

    def begin(self, steps: int, seeds: int, clock: Clock) -> None:
        self.steps, self.seeds, self.clock = steps, seeds, clock
        self.last: dict[int, float] = {}

    def say(self, line: str) -> None:
        pass

    def row(self, row: Mapping[str, Any]) -> None:
        if row["kind"] == "evaluation":
            self.last[row["seed"]] = float(row["return"])

    def step(self, progress: Progress) -> None:
        self.clock.tick(progress.done)

    def words(self, step: int) -> str:
        """Step, steps per second, time left, last return."""
        parts = [f"step {step} of {self.steps}" + (f", {self.seeds} seeds" if self.seeds > 1 else "")]
        if self.clock.rate == self.clock.rate:
            parts.append(f"{self.clock.rate * self.seeds:.0f} steps/s")
            parts.append(f"{duration(max(0, self.steps - step) / self.clock.rate)} left")
        if self.last:
            parts.append(f"return {sum(self.last.values()) / len(self.last):.4g}")
        return " · ".join(parts)


class Lines(Watch):
    """Plain lines on stderr, at most one every few seconds."""

    spoken = 0.0

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def step(self, progress: Progress) -> None:
        super().step(progress)
        now = time.monotonic()
        if now - self.spoken >= EVERY or progress.step >= self.steps:
            self.spoken = now
            self.say(self.words(progress.step))


class Bar(Watch):
    """One line on a terminal that changes in place."""

    def __init__(self):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self.task = self.bar.add_task("starting", total=None)

    def say(self, line: str) -> None:
        self.bar.update(self.task, description=line)

    def step(self, progress: Progress) -> None:
        super().step(progress)
        self.bar.update(
            self.task, total=self.steps, completed=progress.step, description=self.words(progress.step)
        )


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """A bar on a terminal, plain lines elsewhere; on stderr."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    watch = Bar()
    with watch.bar:
        yield watch


def duration(seconds: float) -> str:
    """So long, in few words."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
