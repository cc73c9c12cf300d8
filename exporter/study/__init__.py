"""The past looked at as a whole, by commands that somebody waits for; none of it runs in the services.

In come a policy and stretches of the order database's past (`history`). Out go what a rollout could prove (`power`,
from the `rates` of the last days, drawn by `power_plot`), what past rollouts would have ended in (`backtest`), what the
counters would have shown (`backfill`), the experiments' report (`experiment_report`), and changes as people read them
where a KPI is published as a `complement`.
"""
