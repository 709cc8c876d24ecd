"""What a reward that is a network came out as, how far an ensemble of them agrees, and how it is kept.

A folder holds two files, each written whole or not at all:

    estimate.json             everything in words and single numbers, and the SHA-256 of the arrays
    arrays.safetensors        rewards, histories, and the parameters of every network by their path in it
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import safetensors
import safetensors.numpy

from maxentrl.core.check import InputError
from maxentrl.core.files import open_atomically
from maxentrl.core.words import many
from maxentrl.irl.ascent import Member
from maxentrl.irl.networks import RewardNetwork, parameters, with_parameters

FORMAT = "maxentrl deep estimate 1"
ESTIMATE, ARRAYS = "estimate.json", "arrays.safetensors"

WORDS = {
    "method": str,
    "settings": dict,
    "members": list,
    "warnings": list,
    "decisions": int | float,
    "validation_decisions": int | float | None,
    "log_likelihood_uniform": int | float | None,
}
MEMBER = {"best_step": int, "converged": bool, "interrupted": bool, "verdict": str, "network": dict}
NETWORK = {"features": int, "width": int, "depth": int}
"""What each entry of an estimate, of a member and of a default network must be."""


@dataclasses.dataclass(frozen=True, eq=False)
class DeepEstimate:
    """Networks trained to be the reward: one, or an ensemble of M.

    method: in words.
    members: M of them, each a network with the history of its training.
    rewards: [M, S, A], offset + network, -inf where the offset forbids, 0 where there is no choice; [M, E] where
        rewards belong to arcs.
    allowed: bool [S, A] or [E], where there is one.
    log_likelihoods: [M] of the training demonstrations, nats, at the parameters that were kept.
    validation_log_likelihoods: [M] of the validation demonstrations, or None.
    log_likelihood_uniform: of the training demonstrations when choosing uniformly among allowed actions; None
        where the likelihood is not one of decisions.
    steps, validation_steps: summed weight of the decisions in either.
    settings: all that were used. warnings: sentences to read before the numbers.
    """

    method: str
    members: tuple[Member, ...]
    rewards: np.ndarray
    allowed: np.ndarray
    log_likelihoods: np.ndarray
    validation_log_likelihoods: np.ndarray | None
    log_likelihood_uniform: float | None
    steps: float
    validation_steps: float | None
    settings: dict[str, float | int | str | None]
    warnings: tuple[str, ...]

    @property
    def best(self) -> int:
        """The member with the highest validation likelihood; without validation, training likelihood."""
        scores = self.validation_log_likelihoods
        return int(np.argmax(self.log_likelihoods if scores is None else scores))

    @property
    def network(self):
        """The network of the best member."""
        return self.members[self.best].network

    @property
    def reward(self) -> np.ndarray:
        """[S, A] or [E]: of the best member."""
        return self.rewards[self.best]

    @property
    def log_likelihood(self) -> float:
        """Of the training demonstrations under the best member, nats."""
        return float(self.log_likelihoods[self.best])

    @property
    def validation_log_likelihood(self) -> float | None:
        """Of the validation demonstrations under the best member, nats."""
        scores = self.validation_log_likelihoods
        return None if scores is None else float(scores[self.best])

    @property
    def converged(self) -> bool:
        """Whether every member's training ended of itself."""
        return all(member.converged for member in self.members)

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped the training (Ctrl-C)."""
        return any(member.interrupted for member in self.members)

    @property
    def verdict(self) -> str:
        """On the training of the best member."""
        return self.members[self.best].verdict

    @property
    def spread(self) -> np.ndarray:
        """[S, A] or [E]: standard deviation over members of the reward, each less its own mean, which where
        nothing ends is arbitrary. Shaping by a potential, which no demonstration decides, is in it too."""
        if len(self.members) < 2:
            raise InputError(
                "a spread needs at least 2 members; this estimate has 1 (fit with members=5, say)."
            )
        means = self.rewards[:, self.allowed].mean(1)
        centred = self.rewards - means.reshape(-1, *[1] * self.allowed.ndim)
        return np.where(self.allowed, centred, 0.0).std(0, ddof=1)

    def summary(self) -> str:
        """A few lines to print."""
        lines = [self.method, f"log-likelihood {self.log_likelihood:.6f} over {many(self.steps, 'decision')}"]
        if self.log_likelihood_uniform is not None:
            lines[-1] += f" (uniform choice {self.log_likelihood_uniform:.6f})"
        if self.validation_log_likelihood is not None and self.validation_steps is not None:
            lines.append(
                f"validation log-likelihood {self.validation_log_likelihood:.6f} over "
                f"{many(self.validation_steps, 'decision')}"
            )
        if len(self.members) > 1:
            mean = self.spread[self.allowed].mean()
            lines.append(f"{len(self.members)} networks, whose rewards differ by {mean:.3g} on average")
        return "\n".join([*lines, self.verdict, *(f"warning: {sentence}" for sentence in self.warnings)])

    def to_dict(self) -> dict[str, object]:
        """Everything but the arrays, in types that JSON knows."""
        return {
            "method": self.method,
            "settings": self.settings,
            "log_likelihood": self.log_likelihood,
            "log_likelihood_uniform": self.log_likelihood_uniform,
            "validation_log_likelihood": self.validation_log_likelihood,
            "decisions": self.steps,
            "validation_decisions": self.validation_steps,
            "converged": self.converged,
            "interrupted": self.interrupted,
            "verdict": self.verdict,
            "best": self.best,
            "members": [
                {
                    "best_step": m.best_step,
                    "converged": m.converged,
                    "interrupted": m.interrupted,
                    "verdict": m.verdict,
                    "network": _describe(m.network),
                }
                for m in self.members
            ],
            "warnings": list(self.warnings),
        }

    def save(self, folder: str | Path) -> None:
        """Write the estimate into a folder, which is made if it is not there.

        The arrays come first and the words that vouch for them last: a folder that `load` accepts is whole.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made: {error.strerror or error}.") from error
        content = safetensors.numpy.save(self._arrays())
        words = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), **self.to_dict()}
        with open_atomically(folder / ARRAYS) as file:
            file.write(content)
        with open_atomically(folder / ESTIMATE) as file:
            file.write((json.dumps(words, indent=2, allow_nan=False) + "\n").encode())

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {
            "rewards": self.rewards,
            "allowed": self.allowed,
            "log_likelihoods": self.log_likelihoods,
        }
        if self.validation_log_likelihoods is not None:
            arrays["validation_log_likelihoods"] = self.validation_log_likelihoods
        for i, member in enumerate(self.members):
            arrays[f"members.{i}.train"] = member.train
            if member.validation is not None:
                arrays[f"members.{i}.validation"] = member.validation
            for name, array in parameters(member.network).items():
                arrays[f"members.{i}.network.{name}"] = array
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def load(folder: str | Path, networks: Sequence | None = None) -> DeepEstimate:
    """Read an estimate that `DeepEstimate.save` wrote, bit for bit.

    Args:
        folder: its place.
        networks: one network of the right structure for each member, whose numbers are then replaced; needed
            unless they are `RewardNetwork`s. A file holds numbers, not programs.

    Raises:
        InputError: for a folder that holds something else, was changed, or does not fit the networks.
    """
    folder = Path(folder)
    try:
        words = json.loads((folder / ESTIMATE).read_text(encoding="utf-8"))
        content = (folder / ARRAYS).read_bytes()
    except OSError as error:
        raise InputError(f"{folder} holds no estimate: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{folder / ESTIMATE} is not JSON: {error}.") from error
    if not isinstance(words, dict) or words.get("format") != FORMAT:
        raise InputError(f"{folder / ESTIMATE} is not an estimate of the format {FORMAT!r}.")
    if hashlib.sha256(content).hexdigest() != words.get("sha256"):
        raise InputError(f"{folder / ARRAYS} is not the file that {ESTIMATE} was written with.")
    try:
        arrays = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"{folder / ARRAYS} cannot be read: {error}.") from error
    _check_words(words, arrays, folder)
    described, members = words["members"], []
    if networks is not None and len(networks) != len(described):
        raise InputError(f"{folder} holds {len(described)} networks; {len(networks)} were given.")
    for i, entry in enumerate(described):
        prefix = f"members.{i}.network."
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        network = _rebuild(entry["network"], own, folder) if networks is None else networks[i]
        members.append(
            Member(
                network=with_parameters(network, own),
                best_step=entry["best_step"],
                train=arrays[f"members.{i}.train"],
                validation=arrays.get(f"members.{i}.validation"),
                converged=entry["converged"],
                interrupted=entry["interrupted"],
                verdict=entry["verdict"],
            )
        )
    return DeepEstimate(
        method=words["method"],
        members=tuple(members),
        rewards=arrays["rewards"],
        allowed=arrays["allowed"],
        log_likelihoods=arrays["log_likelihoods"],
        validation_log_likelihoods=arrays.get("validation_log_likelihoods"),
        log_likelihood_uniform=words["log_likelihood_uniform"],
        steps=words["decisions"],
        validation_steps=words["validation_decisions"],
        settings=words["settings"],
        warnings=tuple(words["warnings"]),
    )


def _describe(network) -> dict[str, object]:
    """What `_rebuild` needs to know of a default network; of another, its name."""
    if not isinstance(network, RewardNetwork):
        return {"kind": type(network).__name__}
    net = network.perceptron
    return {"kind": "RewardNetwork", "features": net.in_size, "width": net.width_size, "depth": net.depth}


def _check_words(words: dict, arrays: dict[str, np.ndarray], folder: Path) -> None:
    """The words are those of an estimate, and the arrays those that they speak of."""
    where = f"{folder / ESTIMATE}"
    _check_entries(words, WORDS, where)
    count = len(words["members"])
    if not count or not all(isinstance(sentence, str) for sentence in words["warnings"]):
        raise InputError(f"{where}: an estimate has at least one member, and warnings that are text.")
    rewards = arrays.get("rewards", np.zeros(0))
    shapes = {"allowed": rewards.shape[1:], "log_likelihoods": (count,)}
    if words["validation_decisions"] is not None:
        shapes["validation_log_likelihoods"] = (count,)
    wrong = [name for name, shape in shapes.items() if name not in arrays or arrays[name].shape != shape]
    if wrong or len(rewards) != count or rewards.ndim not in (2, 3) or arrays["allowed"].dtype != bool:
        raise InputError(
            f"{folder / ARRAYS} does not hold the numbers of the {count} networks of {ESTIMATE}."
        )
    for i, entry in enumerate(words["members"]):
        _check_entries(entry, MEMBER, f"{where}, member {i}")
        steps = arrays.get(f"members.{i}.train", np.zeros(0)).shape
        if len(steps) != 1 or not 0 <= entry["best_step"] < steps[0]:
            raise InputError(
                f"{where}, member {i}: best_step must be a step of its history; got {entry['best_step']}."
            )


def _check_entries(entries, wanted: dict, where: str) -> None:
    if not isinstance(entries, dict):
        raise InputError(f"{where} must hold names and values; got {type(entries).__name__}.")
    for name, kind in wanted.items():
        value = entries.get(name)
        if (
            name not in entries
            or not isinstance(value, kind)
            or (isinstance(value, bool) and kind is not bool)
        ):
            known = getattr(kind, "__name__", str(kind))
            raise InputError(f"{where}: {name} must be of type {known}; got {str(value)[:40]!r}.")


def _rebuild(entry: dict, own: dict[str, np.ndarray], folder: Path) -> RewardNetwork:
    """A default network for these arrays; their shapes are compared before anything is made."""
    if entry.get("kind") != "RewardNetwork":
        raise InputError(
            f"{folder} holds networks of the kind {entry.get('kind')}: give networks of the same structure "
            "(networks=[...]); a file holds numbers, not programs."
        )
    _check_entries(entry, NETWORK, f"{folder / ESTIMATE}, network")
    features, width, depth = (entry[name] for name in NETWORK)
    # A shift and a scale; a matrix and a bias for each layer.
    sizes = [features, *[width] * depth, 1] if len(own) == 2 * depth + 4 else []
    shapes: dict[str, tuple[int, ...]] = {"shift": (features,), "scale": (features,)}
    for i, (enters, leaves) in enumerate(itertools.pairwise(sizes)):
        shapes[f"perceptron.layers[{i}].weight"] = (leaves, enters)
        shapes[f"perceptron.layers[{i}].bias"] = (leaves,)
    if shapes != {name: array.shape for name, array in own.items()}:
        raise InputError(
            f"{folder / ARRAYS} does not hold a network of {features} features and {depth} layers of {width}."
        )
    key = jax.random.key(0, impl="threefry2x32")
    shape = np.zeros((1, entry["features"]))
    return RewardNetwork(shape, key, width=entry["width"], depth=entry["depth"])
