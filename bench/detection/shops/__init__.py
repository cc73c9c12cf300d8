"""The shops that the tables are about: in comes a seed, out go units or rows, with what was done to the canary."""
