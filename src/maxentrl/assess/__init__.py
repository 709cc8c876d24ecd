"""Is this reward right? Distances between rewards, what is identified, what transfers, and how sure derived
quantities are."""

from maxentrl.assess.distance import dard, epic, minimal, regret_bound, starc, value_adjusted
from maxentrl.assess.identify import Direction, Identification, identify
from maxentrl.assess.shaping import shape
from maxentrl.assess.transfer import (
    Counterfactual,
    Flows,
    Transfer,
    close,
    counterfactual,
    flows,
    move_goal,
    transfer,
)

__all__ = [
    "Counterfactual",
    "Direction",
    "Flows",
    "Identification",
    "Transfer",
    "close",
    "counterfactual",
    "dard",
    "epic",
    "flows",
    "identify",
    "minimal",
    "move_goal",
    "regret_bound",
    "shape",
    "starc",
    "transfer",
    "value_adjusted",
]
