"""The receiver's page at `/`: where the rollout stands, readable without JavaScript, with buttons for operators."""
