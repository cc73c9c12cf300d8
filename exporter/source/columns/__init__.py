"""What the columns of a shop hold, and how it is read alike from every kind of database.

In come columns and rows as a database gives them; out go their `kinds` (number, text, instant ...), statements that add
up only what are `numbers`, plain `values` (ids, texts, numbers), and moments in place of a `zone`'s wall-clock times.
"""
