"""Prometheus' protobuf exposition, written by hand: the only form in which a target can give native histograms.

The messages are those of io.prometheus.client (metrics.proto), each behind its length. Only the fields that a scrape
needs are written.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

_VARINT, _FIXED64, _LENGTH = 0, 1, 2
_UNTYPED, _HISTOGRAM = 3, 4

# Buckets grow by 2^(2^-5), 2.2 %.
_SCHEMA = 5

Labels = Mapping[str, str]


@dataclass(frozen=True)
class NativeHistogram:
    """How many observations were as large as each of these values, and no others."""

    labels: Labels
    observations: Mapping[float, int]


def exposition(
    samples: Iterable[tuple[str, Labels, float]], histograms: Mapping[str, Iterable[NativeHistogram]]
) -> bytes:
    """Everything that one scrape gets.

    Args:
        samples: Name, labels and value of plain series.
        histograms: Native histograms by their name.
    """
    families: dict[str, list[bytes]] = {}
    for name, labels, value in samples:
        families.setdefault(name, []).append(_metric(labels, 5, _double(1, value)))
    written = [_family(name, _UNTYPED, metrics) for name, metrics in families.items()]
    for name, found in histograms.items():
        metrics = [_metric(one.labels, 7, _histogram(one.observations)) for one in found]
        written.append(_family(name, _HISTOGRAM, metrics))
    return b"".join(_varint(len(family)) + family for family in written)


def _family(name: str, kind: int, metrics: Iterable[bytes]) -> bytes:
    return _text(1, name) + _integer(3, kind) + b"".join(_bytes(4, metric) for metric in metrics)


def _metric(labels: Labels, field: int, value: bytes) -> bytes:
    pairs = b"".join(_bytes(1, _text(1, name) + _text(2, text)) for name, text in sorted(labels.items()))
    return pairs + _bytes(field, value)


def _histogram(observations: Mapping[float, int]) -> bytes:
    """Count, sum, schema, zero bucket, and the positive buckets as spans and differences of counts."""
    buckets: dict[int, int] = {}
    for value, count in observations.items():
        index = math.ceil(math.log2(value) * 2**_SCHEMA)
        buckets[index] = buckets.get(index, 0) + count
    total = sum(value * count for value, count in observations.items())
    message = _integer(1, sum(observations.values())) + _double(2, total)
    message += _integer(5, _zigzag(_SCHEMA)) + _double(6, 1e-9) + _integer(7, 0)
    before_index, before_count = -1, 0
    spans, deltas = b"", b""
    for position, (index, count) in enumerate(sorted(buckets.items())):
        gap = index if position == 0 else index - before_index - 1
        spans += _bytes(12, _integer(1, _zigzag(gap)) + _integer(2, 1))
        deltas += _integer(13, _zigzag(count - before_count))
        before_index, before_count = index, count
    return message + spans + deltas


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | _FIXED64) + struct.pack("<d", value)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())
