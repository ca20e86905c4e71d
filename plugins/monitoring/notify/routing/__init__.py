"""Routing: which receiver is told of which alert, with which others, and when. Pure."""
