# Airflow with this provider, for docker-compose.yaml. The stock image already carries Microsoft's ODBC Driver 18.
FROM apache/airflow:3.3.2-python3.12
# A named volume takes owner and rights from the folder that it covers: the admin's password is kept in one.
RUN mkdir -p /opt/airflow/auth
COPY --chown=airflow:0 pyproject.toml constraints.txt README.md LICENSE /opt/pacs/
COPY --chown=airflow:0 docker/target_login.py /opt/pacs/docker/
COPY --chown=airflow:0 airflow_provider_pacs /opt/pacs/airflow_provider_pacs
# The set that the tests ran with; Airflow's own version is named so that pip can't move it.
RUN pip install --no-cache-dir --constraint /opt/pacs/constraints.txt "apache-airflow==${AIRFLOW_VERSION}" /opt/pacs
