"""Collector of gateways' request logs."""
