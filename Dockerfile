# One image for every component of the chain; Compose says which one runs.

FROM python:3.11-slim-bookworm AS build
# mysqlclient has no wheel
RUN apt-get update \
    && apt-get install -y --no-install-recommends default-libmysqlclient-dev gcc libc6-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
WORKDIR /src
# Dependencies have a layer of their own: a change of the code doesn't install them again. pip
# wants what pyproject.toml names to be there.
COPY pyproject.toml constraints.txt ./
# extras of pyproject.toml; KubernetesExecutor needs airflow,mysql,celery,kubernetes
ARG EXTRAS=airflow,mysql,celery
RUN mkdir -p plugins/monitoring include userdb && touch README.md LICENSE \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]" \
    && /opt/venv/bin/pip uninstall -y monitoring-chain
COPY README.md LICENSE ./
COPY include include
COPY plugins plugins
COPY userdb userdb
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -c constraints.txt .

FROM python:3.11-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="monitoring-chain" \
      org.opencontainers.image.description="A batch monitoring chain on Airflow" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
    && apt-get install -y --no-install-recommends libmariadb3 tini \
    && rm -rf /var/lib/apt/lists/*
# The components share volumes by this number, whatever the host's accounts are. A new volume takes
# over its folder's owner.
RUN useradd --uid 50000 --create-home --shell /usr/sbin/nologin airflow \
    && install -d -o airflow -g airflow -m 0750 /var/lib/monitoring /var/lib/monitoring/airflow \
        /var/lib/monitoring/spool /etc/gateway /demo-key /prometheus-key \
    && install -d -o airflow -g airflow -m 0755 /var/log/gateway
COPY --from=build /opt/venv /opt/venv
COPY airflow.cfg /opt/monitoring/airflow.cfg
COPY dags /opt/monitoring/dags
# `airflow` and `monitoring` with secrets out of files; first on the PATH
COPY deploy/image /opt/monitoring/bin
# where the probes of Airflow's Helm chart look for it
RUN ln -s /opt/monitoring/bin/entrypoint /entrypoint
# the plugin and the policies are in the installed wheel
ENV PATH=/opt/monitoring/bin:/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/var/lib/monitoring/airflow \
    AIRFLOW_CONFIG=/opt/monitoring/airflow.cfg \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/monitoring/dags \
    MONITORING_HOME=/var/lib/monitoring \
    MONITORING_SPOOL=/var/lib/monitoring/spool
WORKDIR /var/lib/monitoring
USER airflow
# asks the component that the first process is
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=4 \
    CMD ["python", "-m", "monitoring.deployment.health"]
# tini ends orphans and passes signals on: to the component alone, which tells its own children
ENTRYPOINT ["tini", "--"]
CMD ["airflow", "version"]
