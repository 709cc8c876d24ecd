"""Problems in float64, where small differences of large numbers are asked for."""

from __future__ import annotations

import jax
import numpy as np

from maxentrl.core.precision import in_double_precision
from maxentrl.models.tabular import TabularMDP
from maxentrl.models.transition import Dense, Sparse


@in_double_precision
def problem_in_float64(mdp: TabularMDP) -> TabularMDP:
    """The same problem in float64, with the same arrays where it is so already.

    Rows of float32 probabilities miss 1 by what float64 takes for an end or a gain, and a constant reward is then no
    longer shaping. So each row is divided by its sum, and the start probabilities by theirs. An order of arrival
    (`with_arrivals`) is not kept.
    """
    if mdp.dtype == np.float64:
        return mdp
    found = jax.tree.map(lambda x: x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x, mdp)
    lists, initial = found.transition, np.asarray(found.initial)
    sparse = isinstance(lists, Sparse)
    probability = np.asarray(lists.probability)
    total = probability.sum(1 if sparse else 2, keepdims=True)
    exact = probability / np.where(total > 0, total, 1)
    return found._replace(
        transition=Sparse(lists.successor, exact, lists.local) if sparse else Dense(exact),
        initial=initial / initial.sum(),
    )
