"""Who may do what: the only module that touches Airflow's security.

Airflow mounts a plugin's app without any authentication, so that the app has to ask itself.
"""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view

#: Lets users pass who may see plugins (the role Viewer and above); 401 or 403 for others.
may_read = requires_access_view(AccessView.PLUGINS)
