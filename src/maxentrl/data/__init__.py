"""Demonstrations in and out: padded arrays, CSV and npz; trips on a network."""

from maxentrl.data.tables import read_trajectories, write_trajectories
from maxentrl.data.trajectories import Trajectories, trajectories_from_arrays, trajectories_from_steps
from maxentrl.data.trips import Trips, read_trips, trips_from_sequences

__all__ = [
    "Trajectories",
    "Trips",
    "read_trajectories",
    "read_trips",
    "trajectories_from_arrays",
    "trajectories_from_steps",
    "trips_from_sequences",
    "write_trajectories",
]
