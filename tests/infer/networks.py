"""Small networks, and their answers by dense linear algebra that shares nothing with the library."""

import numpy as np

from maxentrl.models.network import Network, network_from_arcs


def city(seed: int, links: int = 12, goals: int = 3, extra: int = 2) -> Network:
    """Strongly connected links 0..links-1 (a ring and random arcs), and goals that nothing leaves."""
    rng = np.random.default_rng(seed)
    arcs = {(i, (i + 1) % links) for i in range(links)}
    arcs |= {(int(a), int(b)) for a, b in rng.integers(links, size=(extra * links, 2))}
    arcs |= {(int(rng.integers(links)), links + g) for g in range(goals) for _ in range(2)}
    ends = np.array(sorted(arcs))
    return network_from_arcs(ends[:, 0], ends[:, 1], ids=range(links + goals))


def rewards(network: Network, seed: int, low: float = -3.0, high: float = -0.7) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, network.arcs)


def weights(network: Network, u: np.ndarray) -> np.ndarray:
    """M [L, L]."""
    m = np.zeros((network.links, network.links), np.asarray(u).dtype)
    m[network.arc_from, network.arc_to] = np.exp(u)
    return m


def values(network: Network, u: np.ndarray, g: int, goal: str) -> np.ndarray:
    """z [L] for one goal, from its own matrix: absorption is a row of zeros."""
    m = weights(network, u)
    if goal == "forced":
        m[g] = 0
    return np.linalg.solve(np.eye(network.links) - m, np.eye(network.links)[g])


def arc_flows(network: Network, u: np.ndarray, o: int, g: int, goal: str) -> np.ndarray:
    """[E]: expected visits of the Markov chain of the policy, from o until it stops."""
    z, m = values(network, u, g, goal), weights(network, u)
    if goal == "forced":
        m[g] = 0
    known = z > 0
    policy = np.zeros_like(m)
    policy[known] = m[known] * z / z[known, None]
    visits = np.linalg.solve((np.eye(network.links) - policy).T, np.eye(network.links)[o])
    return (visits[:, None] * policy)[network.arc_from, network.arc_to]


def log_probability(network: Network, u: np.ndarray, sequence: np.ndarray, goal: str) -> float:
    arcs = network.arc_numbers(sequence[:-1], sequence[1:])
    return float(u[arcs].sum() - np.log(values(network, u, int(sequence[-1]), goal)[sequence[0]]))


def walk(network: Network, u: np.ndarray, o: int, g: int, goal: str, rng) -> np.ndarray:
    """One trip of the policy. Where stopping is a choice, it is drawn too."""
    z, here = values(network, u, g, goal), [o]
    while True:
        k = here[-1]
        if k == g and (goal == "forced" or rng.random() < 1 / z[g]):
            return np.array(here)
        arcs = np.flatnonzero(network.arc_from == k)
        chance = np.exp(u[arcs]) * z[network.arc_to[arcs]]
        here.append(int(network.arc_to[rng.choice(arcs, p=chance / chance.sum())]))
