# syntax=docker/dockerfile:1
# One image for every component of the chain; Compose says which one runs.

FROM python:3.11-slim-bookworm AS build
# mysqlclient has no wheel
RUN apt-get update \
    && apt-get install -y --no-install-recommends default-libmysqlclient-dev gcc libc6-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
WORKDIR /src
COPY . .
# the drivers of Airflow's own database come beside the project's extras
RUN /opt/venv/bin/pip install --no-cache-dir -c constraints.txt ".[airflow,mysql]" psycopg2-binary asyncpg

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends libmariadb3 tini \
    && rm -rf /var/lib/apt/lists/*
# the components share the volumes by this number, whatever the host's accounts are
RUN useradd --uid 50000 --create-home --shell /usr/sbin/nologin airflow \
    && install -d -o airflow -g airflow /var/lib/monitoring /var/lib/monitoring/airflow /var/lib/monitoring/spool
COPY --from=build /opt/venv /opt/venv
COPY airflow.cfg /opt/monitoring/airflow.cfg
COPY dags /opt/monitoring/dags
# the plugin and the policies are in the installed wheel
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/var/lib/monitoring/airflow \
    AIRFLOW_CONFIG=/opt/monitoring/airflow.cfg \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/monitoring/dags \
    MONITORING_HOME=/var/lib/monitoring \
    MONITORING_SPOOL=/var/lib/monitoring/spool
WORKDIR /var/lib/monitoring
USER airflow
# tini ends orphans and passes signals on
ENTRYPOINT ["tini", "-g", "--"]
CMD ["airflow", "version"]
