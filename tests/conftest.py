"""What holds for all tests."""

from hypothesis import settings

# An example's first run pays for what is made once in a process, and on a loaded machine any run may take long.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
