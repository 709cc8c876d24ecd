"""The command line. Nothing heavy is imported before a command begins, so that --help answers at once.

Exit status: 0 done; 2 bad input, one sentence on stderr; 3 not converged, results kept; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

DONE, BAD_INPUT, NOT_CONVERGED, INTERRUPTED = 0, 2, 3, 130
PROBLEM = "gridworld, chain or lottery; a Gymnasium id with a transition table; or a path to .npz or .csv"
OUT = "folder of the run: a new name, an empty folder, or an earlier run, which is then replaced"

app = SubcommandApp()
irl = SubcommandApp()
app.command(irl, name="irl", help="Recover a reward from demonstrations.")


@app.command
def quickstart(*, out: Annotated[Path, arg(help=OUT)] = Path("runs/quickstart")) -> int:
    """One minute: plan, see optimism and its cure, recover a reward, read the report."""
    # Most of the minute is compilation, of problems so small that optimised code gains nothing.
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    with progress() as say:
        from maxentrl.app.quickstart import quickstart

        shown = quickstart(out=out, say=say)
    print(shown.summary)
    return _status(shown.converged)


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
        Literal["uniform", "counting"] | None,
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
    return _status(done.converged)


@irl.command
def mce(
    *,
    problem: Annotated[str, arg(metavar="PROBLEM", help=PROBLEM)],
    demos: Annotated[Path, arg(help="demonstrations, .csv or .npz")],
    features: Annotated[Path, arg(help="features of states or of state-action pairs, .csv or .npz")],
    out: Annotated[Path, arg(help=OUT)],
    temperature: Annotated[float, arg(help="of the demonstrator, in units of reward")] = 1.0,
    discount: Annotated[float | None, arg(help="of the demonstrator, in [0, 1]")] = None,
    horizon: Annotated[
        int | None, arg(help="of the demonstrator, in steps; None if it plans without an end")
    ] = None,
) -> int:
    """Maximum causal entropy: weights of features, with standard errors."""
    with progress() as say:
        from maxentrl.app import recipes

        done = recipes.irl_mce(
            problem,
            demos,
            features,
            out=out,
            temperature=temperature,
            discount=discount,
            horizon=horizon,
            say=say,
        )
    print(done.estimate.summary())
    print(f"report      {out / 'report.html'}")
    return _status(done.converged)


@app.command
def report(folder: Positional[Annotated[Path, arg(metavar="DIR", help="folder of a run")]]) -> int:
    """Write the page of a finished run again, and say where it is."""
    from maxentrl.app.pages import rewrite

    print(rewrite(folder))
    return DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        return app.cli(
            prog="maxentrl", args=arguments, description="Planning and inverse reinforcement learning."
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
def progress() -> Iterator[Callable[[str], object]]:
    """Something to tell what is being done: a spinner on a terminal, plain lines elsewhere; on stderr."""
    if not sys.stderr.isatty():
        yield lambda line: print(line, file=sys.stderr, flush=True)
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def _temperatures(text: str | None) -> list[float]:
    """The numbers of --sweep."""
    from maxentrl.core.check import InputError, check_temperature

    try:
        numbers = [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise InputError(
            f'sweep must be numbers with commas between them, such as "0.01,0.1,1"; got {text!r}.'
        ) from None
    for number in numbers:
        check_temperature(number, "sweep")
    return numbers


def _status(converged: bool) -> int:
    if converged:
        return DONE
    print(
        "maxentrl: not converged to the tolerance; the results are kept, and the report says how far they "
        "go.",
        file=sys.stderr,
    )
    return NOT_CONVERGED
