"""Hundreds of rollouts on the real chain while its parts are killed and stopped at random.

In come the programs (`victims`) and what is begun and ended with them (`rollouts`); out goes what was broken.
"""
