"""Alembic's scripts for userdb, run by ``userdb.migrate``."""
