"""CPU time of one refresh: a running judge that is given the rows since its horizon."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np

from bench.detection.shops.shop import START
from bench.detection.whole import END, POLICY, WEIGHTS, Shop, rows
from exporter.evidence.judge import ConversionRows, EntryRows, MeanRows, OutcomeRows, RolloutJudge, RolloutRows
from exporter.evidence.rows import Rows
from exporter.judge.parameters import judge_parameters

REFRESHES = 60
"""A minute of them: enough for a median and for the rare look that folds more than the others."""


def recent(whole: Rows | EntryRows, since: float, now: float) -> Rows | EntryRows:
    """The rows that a judge asks for, as the exporter would hand them over."""
    times = {
        name for field in fields(whole) if (name := field.name) in ("entered", "converted", "resolved", "observed")
    }
    first = whole.observed if isinstance(whole, MeanRows) else whole.entered
    wanted = np.any([getattr(whole, name) >= since for name in times], axis=0) & (first <= now)
    return replace(whole, **{field.name: getattr(whole, field.name)[wanted] for field in fields(whole)})


def measure(per_minute: float = 20_000.0) -> str:
    """A table of refreshes 33 minutes into a rollout."""
    parameters = judge_parameters(POLICY, START)
    visits = rows(Shop(per_minute, 6.0, daily=False), np.random.default_rng(1))
    same = {f"kpi_{number}": visits.kpis["conversion_rate"] for number in range(7)}
    cases: dict[str, RolloutRows] = {
        "six KPIs of a shop with that many visits": visits,
        "seven KPIs with that many units each": RolloutRows(same, visits.entries),
    }
    text = [f"| {per_minute:,.0f} a minute, lateness horizon | median | largest |", "|---|---|---|"]
    for name, whole in cases.items():
        for lateness in (120.0, 30.0):
            kpis = parameters.kpis
            if len(whole.kpis) == 7:
                kpis = tuple(replace(parameters.kpis[0], name=name) for name in whole.kpis)
            judge = RolloutJudge(replace(parameters, kpis=kpis, lateness_seconds=lateness))
            now = END - 400.0
            judge.judge(whole, WEIGHTS, now)
            spent = []
            for _ in range(REFRESHES):
                now += 1.0
                given = RolloutRows(
                    {
                        kpi: _rows(recent(all_of_it, judge.needs_since(kpi), now))
                        for kpi, all_of_it in whole.kpis.items()
                    },
                    _entries(recent(_entries(whole.entries), judge.needs_since(), now)),
                )
                start = time.process_time()
                judge.judge(given, WEIGHTS, now)
                spent.append(1000 * (time.process_time() - start))
            text.append(f"| {name}, {lateness:g} s | {np.median(spent):.1f} ms | {max(spent):.1f} ms |")
    return "\n".join(text)


def _rows(given: Rows | EntryRows) -> Rows:
    assert isinstance(given, ConversionRows | OutcomeRows | MeanRows)
    return given


def _entries(given: Rows | EntryRows | None) -> EntryRows:
    assert isinstance(given, EntryRows)
    return given
