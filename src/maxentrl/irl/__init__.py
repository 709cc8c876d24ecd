"""Inverse reinforcement learning: rewards from demonstrations."""

from maxentrl.irl import mce
from maxentrl.irl.demonstrations import check_demonstrations, sample_trajectories, visits
from maxentrl.irl.estimate import Estimate

__all__ = ["Estimate", "check_demonstrations", "mce", "sample_trajectories", "visits"]
