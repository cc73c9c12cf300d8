"""`make compat PROGRAMS=FOLDER`: the product against the programs in a folder, and a page that says how it went.

In: a folder with any of the programs of `programs.py`, in whichever versions somebody has built or unpacked there. What
is not among them is taken from PATH, as always. Out: `docs/operate/compatibility.md`, one line for each program, its
version and what was run; lines of other versions stay, so that the page grows version by version. The programs
themselves are nowhere in the project: whoever renews the page brings them along.
"""
