"""Time: the clock that everything is given, moments as text, and how long to wait before trying again.

In comes nothing but the machine's clocks, or a simulation's; out go moments, their texts and pauses. Nobody else asks
the machine what time it is.
"""
