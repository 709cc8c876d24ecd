"""The two searches of maximum margin planning: cutting planes, and subgradient steps. Both prove how good they are.

Ctrl-C ends either between two plans, and what it had found is returned. Before the first evaluation there is nothing to
return, and KeyboardInterrupt reaches the caller.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from maxentrl.irl.margins import Cuts, Program, Value, evaluate, smallest_weights
from maxentrl.irl.min_norm import project


@dataclasses.dataclass
class Found:
    """weights: [K], the best ones met; best: the objective there; history: of the objective; bound: no weights have a
    lower one; interrupted: whether somebody stopped the search; stalled: whether the best weights of the program of
    all cuts led to no new one, though the gap was still open."""

    weights: np.ndarray
    best: Value
    history: list[float]
    bound: float = 0.0
    interrupted: bool = False
    stalled: bool = False

    def meet(self, w: np.ndarray, value: Value) -> None:
        """Keep the better ones."""
        if value.objective < self.best.objective:
            self.weights, self.best = w, value


def close(program: Program, best: Value, bound: float, tolerance: float) -> bool:
    """Whether the gap is within the tolerance, apart from what plans leave open."""
    open_still = 2 * program.precision * sum(one.share for one in program.maps)
    return best.objective - bound <= tolerance * best.objective + open_still


def cutting_planes(program: Program, tolerance: float, max_iterations: int) -> Found:
    """Solve, again and again, the quadratic program of the plans made so far."""
    w, cuts = smallest_weights(program), Cuts(program)
    value = evaluate(program, w)
    found = Found(w, value, history=[value.objective])
    try:
        while True:
            new = cuts.add(value)
            w, proven = cuts.solve()
            found.bound = max(found.bound, proven)
            if close(program, found.best, found.bound, tolerance) or len(found.history) >= max_iterations:
                return found
            if not new:
                found.stalled = True
                return found
            value = evaluate(program, w)
            found.meet(w, value)
            found.history.append(value.objective)
    except KeyboardInterrupt:
        found.interrupted = True
        return found


def subgradient(program: Program, tolerance: float, max_iterations: int) -> Found:
    """Steps, and at every doubling of their number the average and the proof."""
    w, cuts = smallest_weights(program), Cuts(program)
    value = evaluate(program, w)
    found = Found(w, value, history=[value.objective])
    # Weights longer than this have a higher objective through their length alone.
    radius = math.sqrt(2 * value.objective / program.regularisation)
    average, step, check = np.zeros_like(w), 0, 8
    try:
        while True:
            cuts.add(value)
            step += 1
            average += 2 / (step + 1) * (w - average)
            if step == check or len(found.history) >= max_iterations:
                middle = evaluate(program, average)
                cuts.add(middle)
                found.meet(average.copy(), middle)
                found.bound = max(found.bound, cuts.solve()[1])
                check *= 2
                if close(program, found.best, found.bound, tolerance) or len(found.history) >= max_iterations:
                    return found
            # Polyak's step for the bound proven so far, where that is shorter: with q = 2 the first ones else fly off.
            steepness = float(value.subgradient @ value.subgradient)
            length = 2 / (program.regularisation * (step + 1))
            if steepness * length > value.objective - found.bound:
                length = (value.objective - found.bound) / steepness
            w = _project(program, w - length * value.subgradient, radius)
            value = evaluate(program, w)
            found.meet(w, value)
            found.history.append(value.objective)
    except KeyboardInterrupt:
        found.interrupted = True
        return found


def _project(program: Program, w: np.ndarray, radius: float) -> np.ndarray:
    """The nearest weights below the ceiling and no longer than the radius.

    The nearest point of the ball and the ceiling together is the ceiling's for w / (1 + multiplier), for the
    smallest multiplier at which it is short enough.
    """
    inside = project(w, program.normals, program.limits)
    if np.linalg.norm(inside) <= radius:
        return inside
    if len(program.limits) == 0:
        return w * (radius / np.linalg.norm(w))
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = project(middle * w, program.normals, program.limits)
        low, high = (middle, high) if np.linalg.norm(inside) <= radius else (low, middle)
    return project(low * w, program.normals, program.limits)
