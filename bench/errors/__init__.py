"""How often the error-rate rule rolls back a canary that does not deserve it, beside a plain threshold."""
