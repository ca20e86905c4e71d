"""Collector of what other nodes hold, over their HTTP API."""
