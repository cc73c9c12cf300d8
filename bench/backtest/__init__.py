"""How long `canary backtest` takes, for the past rollouts of a shop that is made up here (`shop`)."""
