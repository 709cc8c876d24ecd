"""Gymnasium environments by name, a user's own by `module:Name`, and what is wrong with them before anything is learned."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from maxentrl.core.check import InputError
from maxentrl.core.words import plain_words, told
from maxentrl.envs.episodes import Episodes
from maxentrl.envs.layout import native_actions

STEPS_TRIED = 20
"""How many actions, chosen at random, an environment is tried with before it is used."""

OF_NO_CONCERN = (
    "A Box observation space m",  # infinite bounds: observations are taken as they come
    "For Box action spaces, we recommend",  # agents act in [-1, 1] whatever the bounds
    "The environment (",  # wrapped: it is checked as it is used, wrappers and all
)
"""How those of the checker's warnings begin that have nothing to say here."""

FORGIVEN = ("Environment truncates after 1 step", "The observations returned by", "The infos returned by")
"""How those of the checker's errors begin that do no harm here: episodes may be one step long, and what an environment
writes over was copied before.
"""


def load(name: str, arguments: Mapping[str, Any] | None = None, count: int = 1) -> Any:
    """An environment by name.

    Args:
        name: the id of a Gymnasium environment; or `module:Name`, a class or function of one's own that makes one,
            where the module is looked for in the working directory and then where Python looks; or `module:id`, for an
            id that the module registers.
        arguments: handed to it by name.
        count: how many environments are wanted, for one's own that makes them as a vector (see `make`).

    Returns:
        A `gymnasium.Env`, or a `gymnasium.vector.VectorEnv` where one's own function makes that.

    Raises:
        InputError: for an unknown id (with those that are near), a package that is missing (with the line that
            installs it), a module or name that is not there, and arguments that it does not take.
    """
    arguments = dict(arguments or {})
    module_name, colon, attribute = name.partition(":")
    if not colon:
        return _registered(name, name, arguments)
    module = _module(module_name, name)
    maker = getattr(module, attribute, None)
    if maker is None:
        if attribute in gymnasium.registry:
            return _registered(attribute, name, arguments)
        here = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, gymnasium.Env)
        ]
        raise InputError(
            f"the module {module_name!r} ({getattr(module, '__file__', 'built in')}) has no {attribute!r}"
            f"{', but ' + ', '.join(here) if here else ''}."
        )
    if not callable(maker):
        raise InputError(
            f"{name} must be a class or a function that makes an environment; it is a {type(maker).__name__}."
        )
    return make(maker, name, arguments, count)


def make(maker: Callable[..., Any], name: str, arguments: Mapping[str, Any], count: int = 1) -> Any:
    """What a function or class makes of arguments, which must be an environment.

    One that has an argument `num_envs`, as Gymnasium's vector environments do, is told the count by it.

    Raises:
        InputError: if it is none, if the arguments are not taken, or if making it failed.
    """
    with _in_a_sentence(name, arguments):
        env = maker(**({"num_envs": count} if _takes_count(maker) else {}) | dict(arguments))
    if not isinstance(env, gymnasium.Env | gymnasium.vector.VectorEnv):
        raise InputError(
            f"{name} must make a gymnasium.Env; it made a {type(env).__module__}.{type(env).__qualname__}."
        )
    return _with_spaces(env, name)


def _with_spaces(env: Any, name: str) -> Any:
    """The same environment, once it is known to say what is observed and done in it."""
    for what in ("observation_space", "action_space"):
        if not isinstance(getattr(env, what, None), gymnasium.Space):
            raise InputError(f"{name} must have an {what}, a space of Gymnasium's; it has none.")
    return env


def _takes_count(maker: Callable[..., Any]) -> bool:
    if isinstance(maker, type) and issubclass(maker, gymnasium.Env):
        return False
    try:
        return "num_envs" in inspect.signature(maker).parameters
    except (TypeError, ValueError):  # made in C, and silent about it
        return False


def called(env: gymnasium.Env | gymnasium.vector.VectorEnv) -> str:
    """As messages and files call an environment that was not named."""
    inner = env.unwrapped
    return inner.spec.id if inner.spec else type(inner).__name__


def _registered(env_id: str, name: str, arguments: dict[str, Any]) -> gymnasium.Env:
    with _in_a_sentence(name, arguments):
        # Gymnasium's own checker would look at every first step; ours looks before the run.
        return _with_spaces(gymnasium.make(env_id, disable_env_checker=True, **arguments), name)


def _module(module_name: str, name: str) -> Any:
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(missing + "."):
            raise InputError(
                f"{name}: there is no module {missing!r} in {folder} or where Python looks for modules."
            ) from None
        raise InputError(
            f"{name}: the module {module_name!r} needs {missing!r}, which is not installed."
        ) from None
    except Exception as error:
        raise InputError(f"{name}: importing {module_name!r} failed with {told(error)}.") from error


@contextlib.contextmanager
def _in_a_sentence(name: str, arguments: Mapping[str, Any]) -> Iterator[None]:
    """Whatever goes wrong when an environment is made, as an `InputError`."""
    with_arguments = f" with the arguments {dict(arguments)}" if arguments else ""
    try:
        yield
    except InputError:
        raise
    except gymnasium.error.UnregisteredEnv as error:
        raise InputError(
            f"there is no Gymnasium environment {name!r}{_nearest(name)}: {plain_words(error)}."
        ) from None
    except gymnasium.error.DependencyNotInstalled as error:
        text = plain_words(error).replace("gymnasium[mujoco]", "maxentrl[mujoco]")
        raise InputError(f"{name} needs a package that is missing: {text}.") from None
    except ModuleNotFoundError as error:
        raise InputError(
            f"{name} needs the Python package of {error.name!r}, which is not installed."
        ) from None
    except gymnasium.error.Error as error:
        raise InputError(f"Gymnasium cannot make {name!r}{with_arguments}: {plain_words(error)}.") from None
    except Exception as error:
        raise InputError(f"{name} cannot be made{with_arguments}: {told(error)}.") from error


def _nearest(name: str) -> str:
    if name.startswith("ALE/"):
        return f" yet (Atari: `pip install ale-py`, and name it 'ale_py:{name}')"
    known = {key.lower(): key for key in gymnasium.registry}
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    return f"; near are {', '.join(known[key] for key in near)}" if near else ""


@contextlib.contextmanager
def heard(remarks: list[str]) -> Iterator[None]:
    """Warnings become sentences in a list, each once, instead of lines on the terminal."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for warning in caught:
                words = plain_words(warning.message) + "."
                if not words.startswith(OF_NO_CONCERN) and words not in remarks:
                    remarks.append(words)


def examine(env: gymnasium.Env, name: str) -> list[str]:
    """Try an environment that is then thrown away: by Gymnasium's checker, and in a first episode of random actions.

    Returns:
        What is odd about it without being wrong, in sentences.

    Raises:
        InputError: for what Gymnasium's checker does not let pass; for spaces that agents cannot use; for observations
            or rewards of the first steps that are not finite, or of another shape than the space says.
    """
    remarks: list[str] = []
    with heard(remarks):
        # This first: its sentences name entry and step, and the checker's do not.
        repeats = _tried(Episodes(env, name), remarks)
        try:
            check_env(env, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            if not str(error).startswith(FORGIVEN):
                raise InputError(
                    f"{name} does not pass Gymnasium's check of environments: {told(error)}. It can be used "
                    "unchecked, at one's own risk."
                ) from error
            remarks.append(plain_words(error) + ".")
    if not repeats:
        remarks.append(
            "It answers the same seed and actions differently each time, so a run in it cannot be continued bit for bit."
        )
    return remarks


def _tried(episodes: Episodes, remarks: list[str]) -> bool:
    """Whether a first episode of random actions comes out the same again."""
    space = episodes.env.action_space
    space.seed(0)
    episodes.begin(0, 0)
    outside = False
    for _ in range(STEPS_TRIED):
        action = np.asarray(space.sample())
        if isinstance(space, gymnasium.spaces.Discrete):
            action = action.astype(np.int32)[None]
        else:
            action = action.astype(np.float32)[None]
        answer = episodes.step(action[0], native_actions(space, action, 1)[0])
        low, high = episodes.layout.bounds
        outside |= bool(np.any((answer.observation < low) | (answer.observation > high)))
        if answer.terminated or answer.truncated:
            break
    if outside:
        remarks.append("Its observations leave the bounds that its observation space gives.")
    try:
        episodes.relive(0, episodes.past())
    except InputError:
        return False
    return True
