"""Inverse reinforcement learning: rewards from demonstrations."""

from maxentrl.irl import (
    apprenticeship,
    deep_maxent,
    deep_routes,
    max_margin,
    maxent,
    mce,
    routes,
    temperatures,
)
from maxentrl.irl.demonstrations import check_demonstrations, sample_trajectories, visits
from maxentrl.irl.estimate import Estimate

__all__ = [
    "Estimate",
    "apprenticeship",
    "check_demonstrations",
    "deep_maxent",
    "deep_routes",
    "max_margin",
    "maxent",
    "mce",
    "routes",
    "sample_trajectories",
    "temperatures",
    "visits",
]
