"""How long `canary calibrate` takes."""
