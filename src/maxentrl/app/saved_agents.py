"""Agents that were trained, kept as numbers and words, and what can be done with them: act, and say how likely.

A folder holds `agent.json` (which agent, its settings by name, its spaces, where it was trained) and, for each seed,
`seed-N.safetensors`. Nothing in it is ever executed, and sizes are compared before anything is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from maxentrl import agents
from maxentrl.app.record import plain, read_json
from maxentrl.core.check import InputError
from maxentrl.core.contracts import Agent
from maxentrl.core.spaces import Box, Discrete, Space, flat, from_units, log_scale, to_units, width
from maxentrl.envs.layout import Layout, Part, flatten
from maxentrl.learn import checkpoint
from maxentrl.learn.replay import Memory, Remembering

FORMAT = "maxentrl agent 2"


class Policy:
    """What an agent has learned, ready to act in the environment's own observations and units.

    name: of the agent. seed: of its training. observation, action: the spaces it was trained in.
    """

    def __init__(
        self, agent: Agent, state: Any, spaces: tuple[Space, Space], seed: int, layout: Layout | None = None
    ):
        self.name, self.seed = agent.name, seed
        self.observation, self.action = spaces
        self._state, self._layout = state, layout
        # Anew for each agent, so that the compiled programs of one are not those of another.
        self._mode = jax.jit(agent.mode)
        self._act = jax.jit(agent.act)
        self._log_density = jax.jit(agent.log_density)

    def act(self, observation: Any, key: Any = None) -> Any:
        """An action for an observation, or actions for many.

        Args:
            observation: as the environment gives it, or an array of them with one more axis in front.
            key: None for the most likely action (of a squashed normal density: the median), a random key or a whole
                number to draw one from the policy.

        Returns:
            In the environment's own units: a whole number from `start` on, or an array of the action space's shape.

        Raises:
            InputError: for an observation of another shape than in training, or one that is not finite.
        """
        rows, single = self._rows(observation)
        action = self.act_on_rows(rows, key)
        if not single:
            return action
        return int(action[0]) if isinstance(self.action, Discrete) else action[0]

    def act_on_rows(self, rows: np.ndarray, key: Any = None) -> np.ndarray:
        """As `act`, for observations that are laid out as rows [N, d] already."""
        if key is None:
            action = self._mode(self._state, rows)
        else:
            if isinstance(key, int | np.integer):
                key = jax.random.key(int(key), impl="threefry2x32")
            action = self._act(self._state, key, rows)
        return np.asarray(to_units(self.action, np.asarray(action)))

    def log_density(self, observation: Any, action: Any) -> Any:
        """log pi(a|s), exact, in nats.

        For continuous actions this is the density per unit of the environment: that of the agent, which acts in
        [-1, 1], less `core.spaces.log_scale`, the sum of log((high - low) / 2).

        Args:
            observation: as for `act`. action: as the environment takes it; one for each observation.

        Raises:
            InputError: for shapes that do not fit, or an action that is not in the action space.
        """
        rows, single = self._rows(observation)
        given = np.asarray(action)
        lead = () if single else (len(rows),)
        shape = () if isinstance(self.action, Discrete) else self.action.shape
        if given.shape != (*lead, *shape):
            raise InputError(f"actions must have shape {(*lead, *shape)}; got {given.shape}.")
        inside = self._inside(given)
        if not inside.all():
            raise InputError(f"every action must lie in the action space; {given[~inside].flat[0]} does not.")
        kind = np.int32 if isinstance(self.action, Discrete) else np.float32
        own = np.asarray(from_units(self.action, given.reshape(len(rows), *shape)), kind)
        found = np.asarray(self._log_density(self._state, rows, own), np.float64) - log_scale(self.action)
        return float(found[0]) if single else found

    def _inside(self, action: np.ndarray) -> np.ndarray:
        if isinstance(self.action, Discrete):
            place = action - self.action.start
            return np.asarray((place >= 0) & (place < self.action.count) & (place == np.floor(place)))
        return np.asarray((action >= self.action.low) & (action <= self.action.high))

    def _rows(self, observation: Any) -> tuple[np.ndarray, bool]:
        """Observations as rows [N, d] of the layout of training, and whether it was a single one."""
        if self._layout is not None:
            first, values = self._layout.parts[0], observation
            try:
                for step in first.path:
                    values = values[step]
            except (KeyError, IndexError, TypeError):
                raise InputError(f"{first.name} is missing.") from None
            lead = np.shape(values)[: max(0, np.ndim(values) - len(first.shape))]
            single = not lead
            rows = flatten(self._layout, observation, lead)
            rows = rows[None] if single else rows
        else:
            values = np.asarray(observation)
            shape = () if isinstance(self.observation, Discrete) else self.observation.shape
            single = values.shape == shape
            if not single and values.shape[1:] != shape:
                raise InputError(
                    f"an observation must have shape {shape}, or (N, ...) for many; got {values.shape}."
                )
            rows = np.asarray(flat(self.observation, values[None] if single else values))
        if not np.isfinite(rows).all():
            raise InputError("observations must be finite; this one holds NaN or infinity.")
        return rows, single


@dataclass(frozen=True)
class About:
    """What agent.json says: which agent with which settings, its spaces, and where and how long it was trained."""

    agent: str
    settings: dict[str, Any]
    spaces: tuple[Space, Space]
    layout: list[dict[str, Any]] | None
    env: str
    env_args: dict[str, Any]
    seeds: tuple[int, ...]
    step: int


def describe(
    agent: Agent, spaces: tuple[Space, Space], layout: Layout | None, env: str, env_args: Mapping[str, Any],
    seeds: tuple[int, ...], step: int,
) -> About:  # fmt: skip
    """What is kept beside the numbers of an agent."""
    settings = asdict(agent.settings) if is_dataclass(agent.settings) else {}  # pyright: ignore[reportArgumentType]
    record = layout.record() if layout is not None else None
    return About(agent.name, settings, spaces, record, env, dict(env_args), seeds, step)


def learned(state: Any) -> Any:
    """What of an agent's state it acts by and learns with; without the memory of what it lived."""
    return state.learner if isinstance(state, Remembering) else state


def save_agents(folder: Path, about: About, states: list[Any]) -> None:
    """Write the agents of all seeds into a new folder."""
    folder.mkdir()
    words = {
        "format": FORMAT,
        "agent": about.agent,
        "settings": about.settings,
        "observation": _space_words(about.spaces[0]),
        "action": _space_words(about.spaces[1]),
        "layout": about.layout,
        "env": about.env,
        "env_args": about.env_args,
        "seeds": list(about.seeds),
        "step": about.step,
    }
    (folder / "agent.json").write_text(
        json.dumps(plain(words), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    for seed, state in zip(about.seeds, states, strict=True):
        arrays = {k: np.asarray(v, order="C") for k, v in checkpoint.named(learned(state)).items()}
        (folder / f"seed-{seed}.safetensors").write_bytes(save(arrays))


def load_agent(folder: str | Path, seed: int | None = None, *, agent: Agent | None = None) -> Policy:
    """The policy of a training run.

    Args:
        folder: of the run, or its folder `agent`.
        seed: which one; the first unless given.
        agent: of whom these are the numbers, where it is none of `maxentrl.agents.AGENTS`.

    Returns:
        A `Policy`: `policy.act(observation)`, `policy.log_density(observation, action)`.

    Raises:
        InputError: for a folder without an agent, a seed that was not trained, numbers of other sizes than the
            settings say, and files that are damaged or of a newer version.
    """
    folder = Path(folder)
    place = folder / "agent" if (folder / "agent").is_dir() else folder
    about = read_about(place)
    seed = about.seeds[0] if seed is None else seed
    if seed not in about.seeds:
        raise InputError(f"{folder} has no seed {seed}; it has {', '.join(map(str, about.seeds))}.")
    if agent is None:
        try:
            agent = agents.make(about.agent, about.settings)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{place / 'agent.json'} holds settings that make no agent: {error}.") from error
    agent.check(*about.spaces)
    state = _state(agent, about, place / f"seed-{seed}.safetensors")
    layout = None if about.layout is None else _layout(about.layout, about.spaces[0], place / "agent.json")
    return Policy(agent, state, about.spaces, seed, layout)


def read_about(place: Path) -> About:
    """What agent.json in a folder says.

    Raises:
        InputError: where it is missing, damaged, or of another version.
    """
    path = place / "agent.json"
    words = read_json(path, FORMAT, f"{place} holds no saved agent")
    try:
        return About(
            str(words["agent"]),
            dict(words["settings"]),
            (_space(words["observation"]), _space(words["action"])),
            words["layout"],
            str(words["env"]),
            dict(words["env_args"]),
            tuple(int(seed) for seed in words["seeds"]),
            int(words["step"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error}).") from error


def _state(agent: Agent, about: About, path: Path) -> Any:
    """The state of an agent from a file, with its shapes compared to those that its settings imply."""
    try:
        shapes = jax.eval_shape(
            lambda key: agent.init(key, *about.spaces), jax.random.key(0, impl="threefry2x32")
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the settings beside {path} make no agent: {error}") from error
    wanted, form = jax.tree.flatten(learned(shapes))
    names = [checkpoint.name_of(p) for p, _ in jax.tree_util.tree_flatten_with_path(learned(shapes))[0]]
    try:
        with safe_open(path, framework="numpy") as file:
            held = set(file.keys())
            for name in [*names, *sorted(held)]:
                if name not in held or name not in names:
                    raise InputError(
                        f"{path} {'holds' if name in held else 'lacks'} {name}; its settings say otherwise."
                    )
            for name, want in zip(names, wanted, strict=True):
                shape = tuple(file.get_slice(name).get_shape())
                if shape != want.shape:
                    raise InputError(f"{path} holds {name} of shape {shape}; its settings say {want.shape}.")
            leaves = [file.get_tensor(name) for name in names]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}.") from error
    for name, leaf, want in zip(names, leaves, wanted, strict=True):
        if leaf.dtype != want.dtype:
            raise InputError(f"{path} holds {name} as {leaf.dtype}; its settings say {want.dtype}.")
    state = jax.tree.unflatten(form, [jnp.asarray(leaf) for leaf in leaves])
    if isinstance(shapes, Remembering):
        # An agent acts without looking into its memory; it knows by `seen` that its warm-up is over.
        memory = Memory(jnp.zeros((1, 1)), jnp.zeros((), jnp.int32))
        state = Remembering(state, memory, jnp.asarray(2**31 - 1))
    return state


def _space_words(space: Space) -> dict[str, Any]:
    if isinstance(space, Discrete):
        return {"kind": "discrete", "count": space.count, "start": space.start}
    return {"kind": "box", "low": space.low, "high": space.high}


def _space(words: Mapping[str, Any]) -> Space:
    if words["kind"] == "discrete":
        return Discrete(int(words["count"]), int(words.get("start", 0)))
    if words["kind"] != "box":
        raise ValueError(f"there is no space of the kind {words['kind']!r}")
    low, high = (np.asarray(words[end], np.float32) for end in ("low", "high"))
    if low.shape != high.shape:
        raise ValueError(f"bounds of shapes {low.shape} and {high.shape}")
    return Box(low, high)


def _layout(record: list[dict[str, Any]], space: Space, path: Path) -> Layout:
    """The layout that was recorded.

    Raises:
        InputError: where it does not fit the space of observations.
    """
    low, high = (
        (space.low, space.high) if isinstance(space, Box) else (np.zeros(width(space)), np.ones(width(space)))
    )
    try:
        parts = []
        for part in record:
            start, stop = (int(column) for column in part["columns"])
            parts.append(
                Part(
                    tuple(part["path"]), tuple(part["shape"]), start, stop, str(part["kind"]), tuple(part["first"]),
                    tuple(part["counts"]), low[start:stop], high[start:stop],
                )
            )  # fmt: skip
        layout = Layout(tuple(parts))
        if layout.width != width(space):
            raise ValueError(f"{layout.width} columns for {width(space)} numbers")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error}).") from error
    return layout
