"""The report of one rollout: what happened, what the KPIs said, who was affected, what to look at next."""
