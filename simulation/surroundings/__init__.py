"""What lies around the receivers: the shop, its servers, Prometheus and Alertmanager, and people.

In come what the receivers do and the story's faults; out go what is scraped, alerts, and commands of people.
"""
