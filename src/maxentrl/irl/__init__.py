"""Inverse reinforcement learning: rewards from demonstrations."""

from maxentrl.irl import maxent, mce, routes
from maxentrl.irl.demonstrations import check_demonstrations, sample_trajectories, visits
from maxentrl.irl.estimate import Estimate

__all__ = ["Estimate", "check_demonstrations", "maxent", "mce", "routes", "sample_trajectories", "visits"]
