"""Demonstrations in and out: padded arrays, CSV and npz."""

from maxentrl.data.tables import read_trajectories, write_trajectories
from maxentrl.data.trajectories import Trajectories, trajectories_from_arrays, trajectories_from_steps

__all__ = [
    "Trajectories",
    "read_trajectories",
    "trajectories_from_arrays",
    "trajectories_from_steps",
    "write_trajectories",
]
