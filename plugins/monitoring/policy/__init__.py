"""Policies: what they are, how they are read, and which was in force when."""
