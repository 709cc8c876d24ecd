"""An agent acts where its spaces fit, and elsewhere names every agent with networks that does."""

from __future__ import annotations

import re

import pytest

from maxentrl import agents
from maxentrl.core.check import InputError
from maxentrl.core.spaces import Discrete, box

BOX = box(-1.0, 1.0, (2,))
PLACES = {
    "table": (Discrete(3), Discrete(2)),
    "discrete actions": (BOX, Discrete(2)),
    "box": (BOX, BOX),
    "box of a table": (Discrete(3), BOX),
}


def refusal(name, place):
    """What the agent says of a place where it cannot act, or None."""
    try:
        agents.make(name).check(*PLACES[place])
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", agents.AGENTS)
def test_an_agent_acts_there_or_names_all_with_networks_that_do(name, place):
    said = refusal(name, place)
    if said is None:
        return
    assert re.fullmatch(rf"{name} (needs|keeps) .*, and here they are .*; .* can act here\.", said)
    able = {other for other in agents.AGENTS if other != "soft_q" and refusal(other, place) is None}
    assert set(re.findall(r"\w+", said.split("; ")[1])) & set(agents.AGENTS) == able


@pytest.mark.parametrize(
    ("place", "able"),
    [
        ("table", {"soft_q", "soft_dqn", "discrete_sac", "soft_pg", "entropy_bonus_pg"}),
        ("discrete actions", {"soft_dqn", "discrete_sac", "soft_pg", "entropy_bonus_pg"}),
        ("box", {"sac", "sac_v1", "soft_pg", "entropy_bonus_pg"}),
        ("box of a table", {"sac", "sac_v1", "soft_pg", "entropy_bonus_pg"}),
    ],
)
def test_who_acts_where(place, able):
    assert {name for name in agents.AGENTS if refusal(name, place) is None} == able
