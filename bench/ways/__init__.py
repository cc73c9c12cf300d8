"""What each way to know the version costs the exporter and its database: a refresh, a scrape, a cold start."""
