"""How often the error-rate rule rolls back a canary that does not deserve it, next to a plain threshold."""
