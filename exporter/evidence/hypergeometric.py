"""Fisher's noncentral hypergeometric distribution over a whole grid of odds ratios at once."""

from __future__ import annotations

import numpy as np

from exporter.evidence.grid import Floats, Ints

# Rows are cut into pieces of about this many doubles so that a long replay stays in the cache.
_BLOCK = 1 << 18
# exp() of a number larger than this overflows a double; the exact sum stops well before.
_LARGEST_EXPONENT = 600.0
# Beyond this support the saddle-point form is closer than 1e-4 and cheaper.
_LARGEST_SUPPORT = 256


def log_pmf(canary: Ints, stable: Ints, events: Ints, canary_events: Ints, log_odds: Floats) -> Floats:
    """log P(`canary_events` of `events` fall on `canary`, not `stable`, units), a row per table.

    `log_odds` is the grid of log odds ratios (columns). The probability is
    `C(n_c,x) C(n_s,m-x) theta^x / sum_j C(n_c,j) C(n_s,m-j) theta^j` (Fisher 1935): summed
    exactly while the support is small, by a second-order saddle-point form (Daniels 1954) beyond.
    """
    lowest = np.maximum(0, events - stable)
    support = np.minimum(events, canary) - lowest + 1
    limit = min(_LARGEST_SUPPORT, int(_LARGEST_EXPONENT / max(1e-9, float(np.abs(log_odds).max()))))
    result = np.zeros((canary.size, log_odds.size))
    order = np.argsort(support, kind="stable")
    exact_count = int(np.searchsorted(support[order], limit, side="right"))
    first = int(np.searchsorted(support[order], 1, side="right"))
    while first < exact_count:
        width = int(support[order[first]])
        # Rows up to half as wide again share a block: padding is cheaper than a call per width.
        last = int(np.searchsorted(support[order], width + width // 2, side="right"))
        last = min(last, exact_count, first + max(1, _BLOCK // max(width, log_odds.size)))
        rows = order[first:last]
        result[rows] = exact_log_pmf(canary[rows], stable[rows], events[rows], canary_events[rows], log_odds)
        first = last
    for start in range(exact_count, canary.size, max(1, _BLOCK // log_odds.size)):
        rows = order[start : start + max(1, _BLOCK // log_odds.size)]
        result[rows] = saddle_point_log_pmf(canary[rows], stable[rows], events[rows], canary_events[rows], log_odds)
    return result


def exact_log_pmf(canary: Ints, stable: Ints, events: Ints, canary_events: Ints, log_odds: Floats) -> Floats:
    """`log_pmf` by the full sum; needs `support * max|log_odds|` below about 600."""
    lowest = np.maximum(0, events - stable)
    support = np.minimum(events, canary) - lowest + 1
    width = int(support.max())
    step = np.arange(width - 1)
    j = lowest[:, None] + step
    # C(n_c,j+1) C(n_s,m-j-1) over C(n_c,j) C(n_s,m-j), taken relative to the lowest value.
    up = (canary[:, None] - j) * (events[:, None] - j)
    down = (j + 1) * (stable[:, None] - events[:, None] + j + 1)
    inside = step < (support[:, None] - 1)
    ratio = np.where(inside, up, 1) / np.where(inside, down, 1)
    log_weight = np.zeros((canary.size, width))
    np.cumsum(np.log(ratio), axis=1, out=log_weight[:, 1:])
    peak = log_weight.max(axis=1, keepdims=True)
    weight = np.exp(log_weight - peak)
    weight[:, 1:] *= inside
    powers = np.exp(np.arange(width)[:, None] * log_odds)
    observed = canary_events - lowest
    at_observed = np.take_along_axis(log_weight - peak, observed[:, None], axis=1)
    log_mass: Floats = at_observed + observed[:, None] * log_odds - np.log(weight @ powers)
    return log_mass


def saddle_point_log_pmf(canary: Ints, stable: Ints, events: Ints, canary_events: Ints, log_odds: Floats) -> Floats:
    """`log_pmf` for large counts.

    The sum is the coefficient of `z^m` in `(1 + theta z)^n_c (1 + z)^n_s`, that is, a density of
    two independent binomials' sum, whose saddle point solves a quadratic equation in `z`.
    """
    n_c, n_s, m = (counts[:, None].astype(np.float64) for counts in (canary, stable, events))
    x = canary_events[:, None].astype(np.float64)
    theta = np.exp(log_odds)
    # theta (n_c + n_s - m) z^2 + (theta (n_c - m) + n_s - m) z - m = 0, its positive root
    a = theta * (n_c + n_s - m)
    b = theta * (n_c - m) + n_s - m
    root = np.sqrt(b * b + 4.0 * a * m)
    # b < 0 would cancel in (root - b)... the two forms of the root each avoid one cancellation.
    z = np.where(b > 0, 2.0 * m / (b + root), (root - b) / (2.0 * a))
    p, q = theta * z / (1.0 + theta * z), z / (1.0 + z)
    vp, vq = n_c * p * (1 - p), n_s * q * (1 - q)
    k2 = vp + vq
    k3 = vp * (1 - 2 * p) + vq * (1 - 2 * q)
    k4 = vp * (1 - 6 * p * (1 - p)) + vq * (1 - 6 * q * (1 - q))
    log_sum = n_c * np.log1p(theta * z) + n_s * np.log1p(z) - m * np.log(z)
    log_sum += np.log1p(k4 / (8 * k2**2) - 5 * k3**2 / (24 * k2**3)) - 0.5 * np.log(2 * np.pi * k2)
    log_terms = _log_choose(n_c, x) + _log_choose(n_s, m - x)
    log_mass: Floats = log_terms + x * log_odds - log_sum
    return log_mass


def _log_choose(n: Floats, k: Floats) -> Floats:
    return _log_factorial(n) - _log_factorial(k) - _log_factorial(n - k)


_SMALL_LOG_FACTORIALS: Floats = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, 16.0)))])


def _log_factorial(n: Floats) -> Floats:
    """log n!, by table below 16 and by Stirling's series from there on (error below 1e-12)."""
    large = np.maximum(n, 16.0)
    series = (large + 0.5) * np.log(large) - large + 0.5 * np.log(2 * np.pi)
    series += 1 / (12 * large) - 1 / (360 * large**3) + 1 / (1260 * large**5)
    small = _SMALL_LOG_FACTORIALS[np.minimum(n, 15.0).astype(np.int64)]
    value: Floats = np.where(n < 16, small, series)
    return value
