"""What all workers have in common: loaded by the fork server before the first of them begins, and by nobody else.

Memory is shared until somebody writes to it, and Python's garbage collector writes to every object that it looks at:
the first collection in a worker would give it a copy of the whole program. So what is loaded here is frozen, by which
no collector looks at it again. What is left for one to look at is little, so it may look at all of that each time:
statements are full of circles, and those of the first minute would take more memory than a small shop's rows.
"""

import gc

import numpy.ma  # noqa: F401  # some functions of numpy load it when they are first called

from exporter.worker import child  # noqa: F401

gc.collect()
gc.freeze()
_young, _middle, _ = gc.get_threshold()
gc.set_threshold(_young, _middle, 1)
