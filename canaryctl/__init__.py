"""The command `canary`: what a person types. It knows every room, and nobody imports it.

In come arguments and a policy file; out go lines on a terminal, files, and requests to the receiver's API.
"""

import os

# One thread for sums of arrays: ours are small, further threads mostly wait for each other (a calibration took twice
# the processor time), and several exporters share a machine. Read when numpy is loaded, here and in each process below.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
