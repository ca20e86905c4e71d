"""Collector of containers' state and resource use."""
