"""Ratios of a study -> a bootstrap interval of their median."""

from __future__ import annotations

from collections.abc import Sequence

SAMPLES = 2_000
CONFIDENCE = 0.95
_AT_ONCE = 200
"""Samples drawn in one array: 200 of 5,000 sales are 8 MB."""
_SEED = 4_584
"""Fixed: the same sales give the same interval."""


def median_interval(ratios: Sequence[float]) -> tuple[float, float] | None:
    """The percentile bootstrap's interval of the median, 95 %; None of fewer than two ratios.

    Of few sales the interval is wide, as it should be (IAAO, Standard on Ratio Studies, asks for one).
    """
    import numpy as np

    if len(ratios) < 2:
        return None
    values = np.asarray(ratios, dtype=np.float64)
    random = np.random.Generator(np.random.PCG64(_SEED))
    medians = np.concatenate(
        [
            np.median(values[random.integers(0, len(values), (_AT_ONCE, len(values)))], axis=1)
            for _ in range(SAMPLES // _AT_ONCE)
        ]
    )
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(medians, [tail, 100 - tail])
    return float(low), float(high)
