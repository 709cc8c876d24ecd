"""Networks with trips of known weights."""

import numpy as np

from infer.networks import city, walk
from maxentrl.data.trips import trips_from_sequences

TRUE = np.array([-0.6, 0.4, -1.5])


def town(seed: int, goal: str, count: int = 60, **more):
    """A network, features [E, 3] the last of which is constant, and trips of the policy with weights TRUE."""
    network, rng = city(seed), np.random.default_rng(seed)
    features = np.column_stack([rng.uniform(0, 2, (network.arcs, 2)), np.ones(network.arcs)])
    ends = [(o, g) for o, g in zip(rng.integers(12, size=count), rng.integers(15, size=count), strict=True)]
    ends = [(int(o), int(g)) for o, g in ends if o != g or g > 11 or goal == "optional"]
    # A trip must have a step: with its goal at its origin it may stop at once, and is then drawn again.
    sequences = []
    for o, g in ends:
        while len(trip := walk(network, features @ TRUE, o, g, goal, rng)) < 2:
            pass
        sequences.append(trip)
    return network, features, trips_from_sequences(sequences, **more)
