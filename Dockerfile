# Airflow with this provider, for docker-compose.yaml. The stock image already carries Microsoft's ODBC Driver 18.
FROM apache/airflow:3.3.2-python3.12
COPY --chown=airflow:0 pyproject.toml README.md /opt/pacs/
COPY --chown=airflow:0 airflow_provider_pacs /opt/pacs/airflow_provider_pacs
# Naming Airflow's version keeps pip from moving it.
RUN pip install --no-cache-dir "apache-airflow==${AIRFLOW_VERSION}" /opt/pacs
