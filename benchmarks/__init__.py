"""Measurements beside peers and floors of the same run. Not tests: machines are noisy."""
