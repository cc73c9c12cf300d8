"""This project's own lints, each a module that prints what it found: `make lint` runs them all."""
