"""The HTTP API below /monitoring: routers by area, closed to whoever has not logged in."""
