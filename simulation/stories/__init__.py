"""What will happen in a world, drawn from its seed before anything runs.

In comes a seed; out goes a list of events, which `simulation.faults` carries out. `story` draws it; `outages` puts a
longer fault into it, `slots` has it in a shop with `router.slots`.
"""
