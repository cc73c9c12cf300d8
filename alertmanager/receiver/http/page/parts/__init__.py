"""The sections of the page, one module each: from a view to markup, and nothing else."""
