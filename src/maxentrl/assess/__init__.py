"""Is this reward right? Distances between rewards, what is identified, what transfers, and how sure derived
quantities are."""

from maxentrl.assess.distance import dard, epic, minimal, regret_bound, starc, value_adjusted
from maxentrl.assess.identify import Direction, Identification, identify
from maxentrl.assess.shaping import shape

__all__ = [
    "Direction",
    "Identification",
    "dard",
    "epic",
    "identify",
    "minimal",
    "regret_bound",
    "shape",
    "starc",
    "value_adjusted",
]
