"""From a policy's text to its faults, each with file, line and remedy: what `canary.policy.load` is made of.

In comes a YAML file, read strictly and with the line of every key (`document`). Out go sentences about what no type
allows (`sentences`), about names that mean nothing (`references`), and about keys that do not fit one another
(`consistency`).
"""
