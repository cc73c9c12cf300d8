"""Which of several receivers acts: exactly one; the others watch and take over.

In comes the journal's place; out goes a `Leader` that can say at any moment whether this process may act.
"""
