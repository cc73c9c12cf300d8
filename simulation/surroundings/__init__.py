"""What lies around the receivers: the shop, its servers, Prometheus and Alertmanager, people, and the network between.

In come what the receivers do and the story's faults; out go what is scraped, alerts, and commands of people.
"""
