"""The webhook receiver: takes alerts, decides, and drives routers, process and messages to what was decided.

In come webhooks, answers of Prometheus, commands of people and the passing of time; out go journal entries, and what
they ask for, done. Its floors, each knowing only those below: `http` (who asks) over `decide` (what is decided) over
`act` (what is done about it) over `lead` (who of several receivers acts). `receiver` puts one together, `service` runs
it.
"""
