"""The one database of the monitoring chain: models, engine, bulk load, range read, migrations.

Importing this package needs SQLAlchemy alone, because ``include.gateway_client`` is installed
into users' own containers. What needs more (``bulk``, ``read``, ``migrate``) imports it itself.
"""
