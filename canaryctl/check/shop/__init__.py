"""The shop's order database: `database` looks at its tables, `rows` at what is in them, `assignments` at who got what.

With `--data`, `data` looks at what only rows can tell, and `plans` at how the database would find them.

In come the policy and a session that only reads; out go findings, each with the statement that would repair it.
"""
