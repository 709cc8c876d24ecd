"""Inverse reinforcement learning: rewards from demonstrations."""

from maxentrl.irl import maxent, mce
from maxentrl.irl.demonstrations import check_demonstrations, sample_trajectories, visits
from maxentrl.irl.estimate import Estimate

__all__ = ["Estimate", "check_demonstrations", "maxent", "mce", "sample_trajectories", "visits"]
