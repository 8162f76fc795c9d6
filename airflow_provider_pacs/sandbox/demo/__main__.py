"""`python -m airflow_provider_pacs.sandbox.demo`."""

import sys

from airflow_provider_pacs.sandbox.demo.command import main

if __name__ == "__main__":
    sys.exit(main())
