"""From rows to verdicts: what the running rollout and the experiments do to the policy's KPIs.

In come the rows in memory, joined here (`joins`), and the policy; `exporter.evidence` does the mathematics. Out go the
plain values of KPIs (`values`), the evidence on the rollout (`rollout`) and on experiments (`experiments`), and why it
may not be relied on (`blindness`). `schedule` is what others call: it says when and where all of this runs. `shop/` is
what the shop is like without the rollout.
"""
