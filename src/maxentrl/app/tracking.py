"""The rows of metrics, also for those who look at them elsewhere: TensorBoard, and Weights & Biases.

Both write dates, so that their files differ between two identical runs.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from maxentrl.core.check import InputError, check_choice

PACKAGES = {"tensorboard": ("tensorboardX", "'maxentrl[tracking]'"), "wandb": ("wandb", "wandb")}
"""The package of each kind, and what installs it."""


def check_tracking(kinds: Iterable[str], folder: Path | None) -> None:
    """All that `tracking` needs is there.

    Raises:
        InputError: for an unknown kind, one without its package, or without a folder.
    """
    for kind in kinds:
        check_choice(kind, tuple(PACKAGES), "track")
        if folder is None:
            raise InputError(f"track {kind} writes into the folder of the run; give out.")
        _package(kind)


@contextlib.contextmanager
def tracking(
    kinds: tuple[str, ...], folder: Path | None, asked: Mapping[str, Any], found: Any = None
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Something to hand rows of metrics to.

    Args:
        kinds: of `PACKAGES`.
        folder: of the run.
        asked: settings of the run.
        found: the checkpoint that it goes on from, with its `step`, or None.

    Raises:
        InputError: for an unknown kind, one without its package, or without a folder.
    """
    with contextlib.ExitStack() as stack:
        check_tracking(kinds, folder)
        takers = []
        for kind in dict.fromkeys(kinds):
            assert folder is not None
            make = _tensorboard if kind == "tensorboard" else _wandb
            takers.append(stack.enter_context(make(folder, asked, found)))

        def all_of_them(row: Mapping[str, Any]) -> None:
            for take in takers:
                take(row)

        yield all_of_them


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by name, such as "evaluation/return"; without its step and seed."""
    return {
        f"{row['kind']}/{name}": float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and name not in ("step", "seed")
    }


@contextlib.contextmanager
def _tensorboard(
    folder: Path, asked: Mapping[str, Any], found: Any
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Events for TensorBoard under `tensorboard/seed-N`; what lies behind the checkpoint is purged."""
    module = _package("tensorboard")
    writers: dict[int, Any] = {}
    # A step that is purged hides all from it on, so that of the checkpoint itself stays.
    more = {} if found is None else {"purge_step": found.step + 1}

    def take(row: Mapping[str, Any]) -> None:
        seed = int(row["seed"])
        if seed not in writers:
            writers[seed] = module.SummaryWriter(logdir=str(folder / "tensorboard" / f"seed-{seed}"), **more)
        for name, value in scalars(row).items():
            writers[seed].add_scalar(name, value, global_step=int(row["step"]))
        writers[seed].flush()

    try:
        yield take
    finally:
        for writer in writers.values():
            writer.close()


@contextlib.contextmanager
def _wandb(
    folder: Path, asked: Mapping[str, Any], found: Any
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """One run of Weights & Biases for all seeds; the account is whatever that package finds on this machine."""
    module = _package("wandb")
    run = module.init(
        project="maxentrl",
        name=f"{asked['agent']} {asked['env']} {folder.name}",
        config=dict(asked),
        dir=str(folder),
        reinit=True,
    )

    def take(row: Mapping[str, Any]) -> None:
        run.log({f"seed {row['seed']}/{k}": v for k, v in scalars(row).items()}, step=int(row["step"]))

    try:
        yield take
    finally:
        run.finish()


def _package(kind: str) -> Any:
    name, install = PACKAGES[kind]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"the package {name} is missing, to which the metrics shall go; install it with: pip install {install}"
        ) from error
