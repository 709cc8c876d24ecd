"""Is this reward right? Distances between rewards, what is identified, what transfers, and how sure derived
quantities are."""

from maxentrl.assess.distance import dard, epic, minimal, regret_bound, starc, value_adjusted
from maxentrl.assess.flows import FlowComparison, compare_flows
from maxentrl.assess.identify import Direction, Identification, identify
from maxentrl.assess.identify_roads import identify_roads
from maxentrl.assess.shaping import shape
from maxentrl.assess.transfer import (
    Counterfactual,
    Flows,
    Transfer,
    close,
    counterfactual,
    expected_flows,
    move_goal,
    transfer,
)
from maxentrl.assess.uncertainty import Interval, LinearReward, delta, ensemble, on_identified, sampled

__all__ = [
    "Counterfactual",
    "Direction",
    "FlowComparison",
    "Flows",
    "Identification",
    "Interval",
    "LinearReward",
    "Transfer",
    "close",
    "compare_flows",
    "counterfactual",
    "dard",
    "delta",
    "ensemble",
    "epic",
    "expected_flows",
    "identify",
    "identify_roads",
    "minimal",
    "move_goal",
    "on_identified",
    "regret_bound",
    "sampled",
    "shape",
    "starc",
    "transfer",
    "value_adjusted",
]
