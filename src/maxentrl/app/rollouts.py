"""What a trained agent does, episode by episode, as demonstrations to learn from."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from maxentrl import envs
from maxentrl.app.saved_agents import Policy, load_agent, read_about
from maxentrl.app.train_options import MADE
from maxentrl.app.training import Site, open_site
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Env, Outside
from maxentrl.core.files import open_atomically
from maxentrl.core.spaces import Discrete, flat, width
from maxentrl.core.words import many
from maxentrl.data.minari_files import check_minari, write_minari, write_minari_episodes
from maxentrl.data.tables import write_trajectories
from maxentrl.data.trajectories import trajectories_from_arrays
from maxentrl.learn.worlds import LIMIT

MINARI = "minari:"


class Episodes(NamedTuple):
    """N episodes, padded with zeros to the longest, T.

    observations: float32 [N, T + 1, d], or int32 [N, T + 1] where states are numbered. actions: float32
    [N, T, *shape] or int32 [N, T], in the environment's units. rewards: float32 [N, T]. lengths: int64 [N].
    terminated: bool [N]; the others were cut by a time limit.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray

    @property
    def returns(self) -> np.ndarray:
        """Sums of rewards [N]."""
        return self.rewards.sum(1)


def rollouts(
    run: str | Path,
    out: str,
    *,
    episodes: int = 20,
    seed: int | None = None,
    start: int = 0,
    most_likely: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> str:
    """Let the agent of a run act, and write what it does.

    Args:
        run: folder of a training run.
        out: a .npz file; a .csv file, where states are numbered; or "minari:NAME" for a Minari data set.
        episodes: how many, at least 1.
        seed: which agent; the first unless given.
        start: seed of the episodes.
        most_likely: whether actions are the most likely ones; otherwise they are drawn from the policy.
        say: told what is being done.

    Returns:
        A sentence on what was written.

    Raises:
        InputError: for a run without an agent, and a file that cannot hold what it does.
    """
    if episodes < 1:
        raise InputError(f"there must be at least 1 episode; got {episodes}.")
    run = Path(run)
    about = read_about(run / "agent" if (run / "agent").is_dir() else run)
    if about.env.endswith(MADE):
        raise InputError(
            f"{run} was trained in {about.env}, which its name does not make again; let load_agent({str(run)!r}) act in it."
        )
    policy = load_agent(run, seed)
    site = open_site(about.env, about.env_args)
    numbered = site.env is not None and isinstance(site.spaces[0], Discrete)
    if not out.startswith(MINARI) and Path(out).suffix not in (".npz", ".csv"):
        raise InputError(f"demonstrations are written as .npz, .csv or {MINARI}NAME; got {out}.")
    if Path(out).suffix == ".csv" and not numbered:
        raise InputError(
            f"{about.env} has no numbered states, which a CSV of demonstrations needs; write .npz instead."
        )
    if out.startswith(MINARI):
        check_minari(out.removeprefix(MINARI))
    say(f"{many(episodes, 'episode')} of {about.agent} on {about.env}")
    lived = live(policy, site, episodes, start, most_likely)
    _write(out, lived, site, numbered)
    mean, steps = float(np.mean(lived.returns)), int(lived.lengths.sum())
    return f"{many(episodes, 'episode')}, {many(steps, 'step')}, mean return {mean:.6g}: {out}"


def live(policy: Policy, site: Site, episodes: int, start: int, most_likely: bool) -> Episodes:
    """Episodes of a policy where it was trained; the same ones for the same `start`."""
    key = jax.random.key(start, impl="threefry2x32")
    if site.env is not None:
        return _inside(policy, site.env, episodes, key, most_likely)
    assert site.make is not None
    world = site.make(1)
    try:
        return _outside(policy, world, episodes, start, key, most_likely)
    finally:
        world.close()


def _inside(policy: Policy, env: Env, count: int, key, most_likely: bool) -> Episodes:
    """All episodes side by side."""
    first, key = jax.random.split(key)
    reset, step = jax.jit(jax.vmap(env.reset)), jax.jit(jax.vmap(env.step))
    state, seen = reset(jax.random.split(first, count))
    numbered = isinstance(policy.observation, Discrete)
    observations, actions, rewards, alive = [np.asarray(seen)], [], [], np.ones(count, bool)
    lengths, terminated = np.zeros(count, np.int64), np.zeros(count, bool)
    for _ in range(env.limit or LIMIT):
        key, choose, move = jax.random.split(key, 3)
        rows = np.asarray(flat(policy.observation, seen))
        action = policy.act_on_rows(rows, None if most_likely else choose)
        state, answer = step(jax.random.split(move, count), state, action)
        seen = answer.observation
        observations.append(np.asarray(seen))
        actions.append(action)
        rewards.append(np.where(alive, answer.reward, 0.0))
        lengths += alive
        terminated |= alive & np.asarray(answer.terminated)
        alive &= ~np.asarray(answer.terminated | answer.truncated)
        if not alive.any():
            break
    stacked = np.stack(observations, 1)
    if not numbered:
        stacked = stacked.reshape(count, len(observations), width(policy.observation)).astype(np.float32)
    return _padded(Episodes(stacked, np.stack(actions, 1), np.stack(rewards, 1), lengths, terminated))


def _outside(policy: Policy, world: Outside, count: int, start: int, key, most_likely: bool) -> Episodes:
    """One episode after the other."""
    found: list[tuple[list[Any], list[Any], list[float], bool]] = []
    seen = world.reset(start)
    observations, actions, rewards = [seen[0]], [], []
    while len(found) < count:
        key, choose = jax.random.split(key)
        action = policy.act_on_rows(seen, None if most_likely else choose)
        arrived = world.step(action)
        seen = arrived.observation
        if not arrived.valid[0]:
            continue
        observations.append(arrived.next_observation[0])
        actions.append(action[0])
        rewards.append(float(arrived.reward[0]))
        if arrived.terminated[0] or arrived.truncated[0] or len(actions) >= LIMIT:
            found.append((observations, actions, rewards, bool(arrived.terminated[0])))
            if not (arrived.terminated[0] or arrived.truncated[0]):
                seen = world.reset(start + len(found))
            observations, actions, rewards = [seen[0]], [], []
    longest = max(len(each[1]) for each in found)

    def padded(values, size):
        return np.stack(
            [np.pad(x, [(0, size - len(x))] + [(0, 0)] * (np.ndim(x) - 1)) for x in map(np.asarray, values)]
        )

    return Episodes(
        padded([each[0] for each in found], longest + 1).astype(np.float32),
        padded([each[1] for each in found], longest),
        padded([each[2] for each in found], longest).astype(np.float32),
        np.array([len(each[1]) for each in found], np.int64),
        np.array([each[3] for each in found]),
    )


def _padded(lived: Episodes) -> Episodes:
    """The same with zeros behind the end of each episode."""
    steps = np.arange(lived.actions.shape[1]) < lived.lengths[:, None]
    places = np.arange(lived.observations.shape[1]) <= lived.lengths[:, None]

    def kept(values, where):
        return np.where(where.reshape(where.shape + (1,) * (values.ndim - 2)), values, 0).astype(values.dtype)

    return lived._replace(
        observations=kept(lived.observations, places),
        actions=kept(lived.actions, steps),
        rewards=kept(lived.rewards, steps).astype(np.float32),
    )


def _write(out: str, lived: Episodes, site: Site, numbered: bool) -> None:
    if numbered:
        steps = np.arange(lived.actions.shape[1]) < lived.lengths[:, None]
        places = np.arange(lived.observations.shape[1]) <= lived.lengths[:, None]
        demos = trajectories_from_arrays(
            np.where(places, lived.observations, -1),
            np.where(steps, lived.actions, -1),
            lengths=lived.lengths,
        )
        mdp: Any = envs.problem(site.name, **site.arguments)
        if out.startswith(MINARI):
            write_minari(out.removeprefix(MINARI), demos, mdp)
        else:
            write_trajectories(out, demos, mdp)
        return
    if not out.startswith(MINARI):
        with open_atomically(out) as file:
            np.savez_compressed(file, allow_pickle=False, **lived._asdict())
        return
    spaces = importlib.import_module("gymnasium.spaces")
    seen, done = site.spaces
    write_minari_episodes(
        out.removeprefix(MINARI),
        [
            (
                lived.observations[i, : n + 1],
                lived.actions[i, :n],
                lived.rewards[i, :n],
                bool(lived.terminated[i]),
            )
            for i, n in enumerate(lived.lengths.tolist())
        ],
        spaces.Box(-np.inf, np.inf, (width(seen),), np.float32),
        spaces.Discrete(done.count, start=done.start)
        if isinstance(done, Discrete)
        else spaces.Box(done.low, done.high, dtype=np.float32),
    )
