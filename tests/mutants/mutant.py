"""What a mutant is, and short names for the files that many of them name."""

from __future__ import annotations

from dataclasses import dataclass

SYNC = "airflow_provider_pacs/sync/"
STEPS, POSTGRES, INCREMENTAL = f"{SYNC}steps/", f"{SYNC}target/postgres/", f"{SYNC}incremental/"
INTEGRATION = "tests/integration/test_"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard switched off.

    Attributes:
        name: the guard.
        file: where it is.
        old: its text, found exactly once; white space, line breaks and the way a string is broken count for
            nothing, so a string that the code writes in pieces is written here in one.
        new: what stands there instead, as it is.
        test: node ids, separated by spaces; one of them at least must fail.
    """

    name: str
    file: str
    old: str
    new: str
    test: str

    @property
    def tests(self) -> tuple[str, ...]:
        """The node ids."""
        return tuple(self.test.split())


def of(file: str, *names: str) -> str:
    """Node ids of tests in `tests/integration/test_<file>.py`."""
    return " ".join(f"{INTEGRATION}{file}.py::{name}" for name in names)
