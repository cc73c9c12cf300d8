"""What alerts decide: brought by a notification, or found by the receiver's own look at Prometheus.

In come alerts, of which only some count (`admission`), and what people have silenced (`silences`). Out go decisions to
lower or hold (`alerthandler`, fed by the webhook and by `alertpoller`), and what stands against raising (`objections`).
"""
