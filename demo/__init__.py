"""A small real platform, an incident on it, and the chain that sees it: ``python -m demo``."""
