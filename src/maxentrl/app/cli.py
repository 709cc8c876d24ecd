"""The command line. Nothing heavy is imported before a command begins, so that --help answers at once.

Exit status: 0 done; 2 bad input, one sentence on stderr; 3 not converged, results kept; 4 training
cannot go on, the last good checkpoint kept; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from maxentrl.app import cli_train
from maxentrl.app.cli_irl import irl
from maxentrl.app.options import OUT, PROBLEM, Prior
from maxentrl.app.progress import (
    BAD_INPUT,
    DIVERGED,
    DONE,
    INTERRUPTED,
    NOT_CONVERGED,
    numbers,
    progress,
    status,
)

__all__ = ["BAD_INPUT", "DIVERGED", "DONE", "INTERRUPTED", "NOT_CONVERGED", "main"]

app = SubcommandApp()
app.command(irl, name="irl", help="Recover a reward from demonstrations.")
app.command(cli_train.compare)
app.command(cli_train.rollouts)


@app.command
def quickstart(*, out: Annotated[Path, arg(help=OUT)] = Path("runs/quickstart")) -> int:
    """One minute: plan, see optimism and its cure, recover a reward, read the report."""
    # Most of the minute is compilation, of problems so small that optimised code gains nothing.
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    with progress() as say:
        from maxentrl.app.quickstart import quickstart

        shown = quickstart(out=out, say=say)
    print(shown.summary)
    return status(shown.converged)


@app.command
def plan(
    problem: Positional[Annotated[str, arg(metavar="PROBLEM", help=PROBLEM)]],
    *,
    temperature: Annotated[
        float, arg(help="of the actions, in units of reward; 0 is the hard maximum, inf the prior")
    ],
    out: Annotated[Path, arg(help=OUT)],
    discount: Annotated[
        float | None, arg(help="in [0, 1]; 1 without a horizon is the first-exit problem")
    ] = None,
    horizon: Annotated[int | None, arg(help="number of steps; None is the stationary problem")] = None,
    dynamics: Annotated[
        Literal["given", "posterior"],
        arg(help="given: control. posterior: exact inference, which imagines luck"),
    ] = "given",
    prior: Annotated[
        Prior | None,
        arg(help="over actions: normalised, or each counted as 1; None keeps it"),
    ] = None,
    state_temperature: Annotated[float | None, arg(help="of the next states; overrides --dynamics")] = None,
    sweep: Annotated[
        str | None, arg(metavar="T,T,...", help='temperatures to compare, such as "0.01,0.1,1"')
    ] = None,
) -> int:
    """Plan on a problem: soft values, policy, proven error bound, pictures, report."""
    with progress() as say:
        from maxentrl.app import recipes

        done = recipes.plan(
            problem,
            temperature=temperature,
            out=out,
            discount=discount,
            horizon=horizon,
            dynamics=dynamics,
            prior=prior,
            state_temperature=state_temperature,
            sweep=_temperatures(sweep),
            say=say,
        )
    print(
        f"start value {done.answer['start_value']:.8g}, proven to within "
        f"{float(done.solution.error_bound):.2g}"
    )
    print(f"report      {out / 'report.html'}")
    return status(done.converged)


@app.command
def report(folder: Positional[Annotated[Path, arg(metavar="DIR", help="folder of a run")]]) -> int:
    """Write the page of a finished run again, and say where it is."""
    from maxentrl.app.pages import rewrite

    print(rewrite(folder))
    return DONE


@app.command
def train(
    agent: Positional[
        Annotated[str, arg(metavar="AGENT", help="such as sac; its options: train AGENT --help")]
    ],
) -> int:
    """Train an agent from several seeds: checkpoints, curves, report. --help lists the agents."""
    return cli_train.train([agent])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        with _terminated_like_ctrl_c():
            words = list(sys.argv[1:] if arguments is None else arguments)
            if words[:1] == ["train"]:
                # Its options are those of the agent, which is known only when its name has been read.
                return cli_train.train(words[1:])
            return app.cli(
                prog="maxentrl",
                args=words,
                description="Planning, inverse reinforcement learning and soft agents.",
            )
    except KeyboardInterrupt:
        print("maxentrl: interrupted; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except ValueError as error:
        # Imported here because it brings JAX, which whoever raised it has loaded already.
        from maxentrl.core.check import InputError

        if not isinstance(error, InputError):
            raise
        print(f"maxentrl: {error}", file=sys.stderr)
        return BAD_INPUT


@contextlib.contextmanager
def _terminated_like_ctrl_c() -> Iterator[None]:
    """A batch system that ends a run by SIGTERM gets what Ctrl-C gets: nothing half-written, progress kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _temperatures(text: str | None) -> list[float]:
    """The numbers of --sweep."""
    found = numbers(text, "sweep", "0.01,0.1,1")
    if found:
        from maxentrl.core.check import check_temperature

        for number in found:
            check_temperature(number, "sweep")
    return found
