"""What must always hold and what must hold in the end, looked at from outside after every event.

In come the world and what really is (`simulation.truth`); out goes each promise that was broken, with its words.
"""
