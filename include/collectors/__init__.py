"""Collectors: each reads one kind of source for a window of event time into userdb.

A collector is a sub-package with ``settings.py`` (its section of sources.yaml, importing nothing
heavy) and ``collector.py`` (registers itself under its name).
"""
