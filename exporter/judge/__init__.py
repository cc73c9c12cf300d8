"""From rows to verdicts: what the running rollout and the experiments do to the policy's KPIs.

In come joined rows (`units`) and the policy's KPIs (`plans`); `exporter.evidence` does the mathematics; out go the
window's KPIs (`kpis`), the judgement of the rollout (`judgement`) and of experiments (`experiments`), and why it may
not be relied on (`blindness`). `assessor` puts them together.
"""
