"""`python -m airflow_provider_pacs.cli` is `pacs`."""

import sys

from airflow_provider_pacs.cli import main

if __name__ == "__main__":
    sys.exit(main())
