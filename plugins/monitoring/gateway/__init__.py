"""The route table and the registry, as gateways read them."""
