"""Demonstrations in Minari's format: data sets of discrete observations and actions, one episode per trajectory."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from maxentrl.core.check import InputError
from maxentrl.data.tables import Vocabulary
from maxentrl.data.trajectories import Trajectories, trajectories_from_arrays


def read_minari(dataset: str | os.PathLike[str], mdp: Vocabulary) -> Trajectories:
    """Read a Minari data set whose observations and actions are whole numbers: those of states and actions.

    Args:
        dataset: its name among the data sets on this machine ("maze/expert-v0"; nothing is downloaded), or the
            folder that it lies in.
        mdp: the problem it was made in.

    Returns:
        `Trajectories`, with the episode's number as id and its last observation as the state reached.

    Raises:
        InputError: without the package, for a data set that cannot be read, and for observations or actions
            that are not numbers of states and actions.
    """
    source = _open(_minari(), dataset)
    states, actions, ids = [], [], []
    for episode in source.iterate_episodes():
        states.append(_whole(episode.observations, mdp.states, "observation", int(episode.id)))
        actions.append(_whole(episode.actions, mdp.actions, "action", int(episode.id)))
        if len(states[-1]) != len(actions[-1]) + 1:
            raise InputError(
                f"episode {episode.id} must hold one observation more than actions; it holds {len(states[-1])} "
                f"and {len(actions[-1])}."
            )
        ids.append(str(episode.id))
    if not ids:
        raise InputError(f"the data set {dataset} holds no episode.")
    longest = max(map(len, actions))
    return trajectories_from_arrays(
        np.array([np.pad(s, (0, longest + 1 - len(s)), constant_values=-1) for s in states]),
        np.array([np.pad(a, (0, longest - len(a)), constant_values=-1) for a in actions]),
        lengths=np.array([len(a) for a in actions]),
        ids=ids,
    )


def write_minari(name: str, demos: Trajectories, mdp: Vocabulary) -> None:
    """Write demonstrations as a Minari data set of this name ("maze/expert-v0"), in Minari's own folder.

    Rewards are written as 0. An episode counts as terminated if the problem says that its last state is
    terminal, as truncated otherwise.

    Raises:
        InputError: without the package; for weights, groups or unknown last states, which the format does not
            hold; and for a name that is taken or not allowed.
    """
    if not np.all(demos.weights == 1) or demos.groups is not None:
        raise InputError("a Minari data set holds neither weights nor groups; write CSV or npz instead.")
    last = demos.next_states[np.arange(demos.count), demos.lengths - 1]
    if (last < 0).any():
        i = int((last < 0).argmax())
        raise InputError(
            f"a Minari data set holds the state after the last action, and trajectory {demos.ids[i]!r} does not "
            f"say it ({int((last < 0).sum())} such trajectories in all)."
        )
    minari = check_minari(name)
    spaces = importlib.import_module("gymnasium.spaces")
    terminal = np.asarray(getattr(mdp, "terminal", np.zeros(mdp.states, bool)))
    episodes = []
    for i, length in enumerate(demos.lengths.tolist()):
        ended = np.arange(length) == length - 1
        done = bool(terminal[last[i]])
        episodes.append(
            minari.data_collector.EpisodeBuffer(
                id=i,
                observations=np.append(demos.states[i, :length], last[i]).astype(np.int64),
                actions=demos.actions[i, :length].astype(np.int64),
                rewards=[0.0] * length,
                terminations=(ended & done).tolist(),
                truncations=(ended & (not done)).tolist(),
                infos={},
            )
        )
    _create(minari, name, episodes, spaces.Discrete(mdp.states), spaces.Discrete(mdp.actions))


def write_minari_episodes(
    name: str,
    episodes: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, bool]],
    observation_space: Any,
    action_space: Any,
) -> None:
    """Write episodes of any kind as a Minari data set of this name, in Minari's own folder.

    Args:
        name: such as "pendulum/sac-v0".
        episodes: observations [T + 1, ...], actions [T, ...], rewards [T], and whether the last step terminated; it
            counts as truncated otherwise.
        observation_space, action_space: Gymnasium's.

    Raises:
        InputError: without the package, and for a name that is taken or not allowed.
    """
    minari = check_minari(name)
    buffers = []
    for i, (observations, actions, rewards, done) in enumerate(episodes):
        ended = np.arange(len(actions)) == len(actions) - 1
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                id=i,
                observations=observations,
                actions=actions,
                rewards=rewards.tolist(),
                terminations=(ended & done).tolist(),
                truncations=(ended & (not done)).tolist(),
                infos={},
            )
        )
    _create(minari, name, buffers, observation_space, action_space)


def check_minari(name: str) -> ModuleType:
    """A data set of this name can be written: the package, which is returned, is whole, and the name is free.

    Raises:
        InputError: otherwise.
    """
    minari = _minari("h5py")
    try:
        importlib.import_module("minari.dataset.minari_dataset").parse_dataset_id(name)
    except (ValueError, TypeError):
        raise InputError(
            f'the name of a Minari data set must look like "maze/expert-v0", with its version; got {name!r}.'
        ) from None
    if (folder := _folder(name)).exists():
        raise InputError(f"Minari does not write a data set {name!r}: there is one already in {folder}.")
    return minari


def _folder(name: str) -> Path:
    return importlib.import_module("minari.storage").get_dataset_path(name)


def _create(
    minari: ModuleType, name: str, episodes: list[Any], observation_space: Any, action_space: Any
) -> None:
    try:
        minari.create_dataset_from_buffers(
            name, episodes, observation_space=observation_space, action_space=action_space
        )
    except BaseException as error:
        # The name was free, so whatever lies there now is half of this one.
        shutil.rmtree(_folder(name), ignore_errors=True)
        if isinstance(error, ValueError | AssertionError | OSError):
            raise InputError(f"Minari does not write a data set {name!r}: {error}") from error
        raise


def _minari(*more: str) -> ModuleType:
    """The package, which nothing else here needs; `more`: those that must be there too."""
    try:
        for package in ("minari.data_collector", *more):
            importlib.import_module(package)
        return importlib.import_module("minari")
    except ImportError as error:
        raise InputError(
            "Minari data sets need the packages that come with pip install 'maxentrl[minari]'."
        ) from error


def _open(minari: ModuleType, dataset: str | os.PathLike[str]):
    folder = Path(dataset)
    try:
        if folder.is_dir():
            inner = folder / "data"
            return minari.MinariDataset(inner if inner.is_dir() else folder)
        return minari.load_dataset(str(dataset), download=False)
    except Exception as error:  # whatever a half-written data set makes h5py or json say
        raise InputError(f"no Minari data set can be read at {dataset}: {error}") from error


def _whole(values, count: int, what: str, episode: int) -> np.ndarray:
    array: np.ndarray = np.asarray(values) if not isinstance(values, dict | tuple) else np.zeros(0)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"each {what} must be one whole number; episode {episode} holds something else.")
    wrong = (array < 0) | (array >= count)
    if wrong.any():
        t = int(wrong.argmax())
        raise InputError(
            f"episode {episode}, step {t}: unknown {what} {array[t]}; known are 0 to {count - 1} "
            f"({int(wrong.sum())} unknown in all)."
        )
    return array.astype(np.int64)
