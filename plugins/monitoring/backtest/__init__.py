"""Policies tried out: on a file of series, on real history, on unit tests. The same scoring and
the same state machine as the chain's."""
