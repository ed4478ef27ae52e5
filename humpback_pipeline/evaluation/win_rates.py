"""The win rate of a model over a baseline, as AlpacaEval defines it.

Source: Li et al., AlpacaEval (github.com/tatsu-lab/alpaca_eval 0.6.6, Apache-2.0),
`alpaca_eval.metrics.pairwise_to_winrate`; the tests hold this module to that function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Interval
from .mean_intervals import share_interval

_DRAW = 1.5
# Below this an interval of a win rate is some ten points to either side, or more.
SMALL_SAMPLE = 100


@dataclass(frozen=True)
class WinRate:
    """A win rate over prompts.

    rate, standard_error: percent; the standard error is that of the mean over prompts and is NaN
        for a single prompt, where it is not defined.
    n_wins, n_losses, n_draws: prompts the model won, lost and drew; they add up to n.
    n: prompts with a usable preference.
    n_unusable: preferences left out (None, NaN, off the scale).
    """

    rate: float
    standard_error: float
    n_wins: int
    n_losses: int
    n_draws: int
    n: int
    n_unusable: int = 0

    @property
    def interval(self) -> Interval:
        """95 % interval of the rate in percent, from 0 to 100; see `share_interval`."""
        low, high = share_interval(self.rate / 100, self.standard_error / 100, self.n)
        return 100 * low, 100 * high


def small_sample_note(n: int, widest: float) -> str | None:
    """What to say of `n` prompts whose widest 95 % interval is ± `widest` points; None if enough.

    The difference of two models judged apart is about 1.4 times as uncertain as a rate is.
    """
    if n >= SMALL_SAMPLE:
        return None
    return (
        f"Small sample: with {n} prompts a win rate is known to ± {widest:.0f} points, and models "
        f"that differ by less than about {1.4 * widest:.0f} points cannot be told apart by their "
        "rates. The paired tests see a little more; AlpacaEval has 805 prompts."
    )


def win_rate(preferences: Sequence[float | None]) -> WinRate:
    """Return the win rate of the model from one preference per prompt.

    preferences: AlpacaEval's scale, 1.0 (baseline wins) … 1.5 (draw) … 2.0 (model wins); values
        in between are a judge's probability plus one and count in full, so that 1.2 adds 20 %.
        0 is the older spelling of a draw. None, NaN and values outside [1, 2] are left out and
        counted in `.n_unusable`.

    The rate is 100 · mean(preference − 1); its standard error is that of the mean over prompts
    (sample standard deviation / √n).

    Raises ValueError when no preference is usable.
    """
    scores = np.array([np.nan if p is None else float(p) for p in preferences], dtype=np.float64)
    scores[scores == 0.0] = _DRAW
    usable = scores[(scores >= 1.0) & (scores <= 2.0)]
    n = int(usable.size)
    if n == 0:
        raise ValueError(
            f"win_rate: none of the {scores.size} preferences is usable; each must be a number "
            "from 1.0 (baseline wins) to 2.0 (model wins)"
        )
    wins = usable - 1.0
    return WinRate(
        rate=float(wins.mean() * 100),
        standard_error=float(wins.std(ddof=1) / np.sqrt(n) * 100) if n > 1 else float("nan"),
        n_wins=int((wins > 0.5).sum()),
        n_losses=int((wins < 0.5).sum()),
        n_draws=int((wins == 0.5).sum()),
        n=n,
        n_unusable=int(scores.size) - n,
    )
