"""The HTTP API below /monitoring: routers by area, closed to strangers."""
