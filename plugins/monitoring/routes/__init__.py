"""The route table: which requests go to which service."""
