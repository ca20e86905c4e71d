"""Scoring: from a signal's minutes to one class per evaluation time and series. Pure."""
