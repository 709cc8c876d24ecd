"""Counts, lists and exceptions, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence


def many(count: float, one: str, more: str = "") -> str:
    """So many of something: "1 step", "0.5 steps", "2 policies" (more = "policies")."""
    shown = f"{count:.12g}" if isinstance(count, float) else str(count)
    return f"{shown} {noun(count, one, more)}"


def noun(count: float, one: str, more: str = "") -> str:
    """The word alone, as it follows the number."""
    return one if count == 1 else more or f"{one}s"


def plain_words(text: object) -> str:
    """A message without colours, line breaks and the full stop."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|WARN: ", "", str(text)).split()).rstrip(".")


def told(error: BaseException) -> str:
    """An exception: its kind and its message."""
    return f"{type(error).__name__}: {plain_words(error)}" if str(error) else type(error).__name__


def listed(words: Sequence[str]) -> str:
    """ "a"; "a and b"; "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
