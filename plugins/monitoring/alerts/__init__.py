"""Alerts: the state machine, and the history that it gives."""
