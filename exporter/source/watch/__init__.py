"""What is watched about the place where the rows are, apart from the rows.

In comes a session; out go the tables and columns that the `catalog` shows to this user, what of them has changed while
two versions need them (`schema`), and how far a read `replica` is behind.
"""
