"""Collector of events that gateways, containers and users reported."""
