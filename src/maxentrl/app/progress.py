"""What a command says while it works and when it has ended."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DONE, BAD_INPUT, NOT_CONVERGED, DIVERGED, INTERRUPTED = 0, 2, 3, 4, 130


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], object]]:
    """Something to tell what is being done: a spinner on a terminal, plain lines elsewhere; on stderr."""
    if not sys.stderr.isatty():
        yield lambda line: print(line, file=sys.stderr, flush=True)
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def ended(done: Any, out: Path) -> int:
    """Print what a reward came out as and where its report is; the exit status."""
    print(done.summary())
    print(f"report      {out / 'report.html'}")
    if done.estimate.interrupted:
        print(f"maxentrl: interrupted; the best that was found so far is kept in {out}.", file=sys.stderr)
        return INTERRUPTED
    return status(done.converged)


def status(converged: bool) -> int:
    """The exit status of a finished run, and a sentence if it has not converged."""
    if converged:
        return DONE
    print(
        "maxentrl: not converged to the tolerance; the results are kept, and the report says how far they "
        "go.",
        file=sys.stderr,
    )
    return NOT_CONVERGED


def numbers(text: str | None, what: str, example: str) -> list[float]:
    """Numbers with commas between them; none where nothing is given."""
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        # Imported here because it brings JAX, which a command that is refused has no other use for.
        from maxentrl.core.check import InputError

        raise InputError(
            f'{what} must be numbers with commas between them, such as "{example}"; got {text!r}.'
        ) from None
