"""Services and their instances: registration, leases judged when read, health checks, upkeep."""
