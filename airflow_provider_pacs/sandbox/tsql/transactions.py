"""The transactions of one session: BEGIN, COMMIT, ROLLBACK and the isolation levels over one DuckDB cursor.

DuckDB knows snapshots only. Under READ COMMITTED a transaction that has not written yet therefore has no
DuckDB transaction: each statement sees what is committed when it starts, as on SQL Server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

import duckdb

from airflow_provider_pacs.sandbox.catalog.tables import Database
from airflow_provider_pacs.sandbox.model import SqlError
from airflow_provider_pacs.sandbox.tsql.errors import translated
from airflow_provider_pacs.sandbox.tsql.row_changes import RowChanges

LEVELS = {"READ UNCOMMITTED": 1, "READ COMMITTED": 2, "REPEATABLE READ": 3, "SERIALIZABLE": 4, "SNAPSHOT": 5}
SNAPSHOT = 5


class Transactions:
    """The transaction state of one session."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        database: Callable[[], Database],
        now: Callable[[], datetime],
        rowversion: Callable[[], int],
        changes: RowChanges,
    ) -> None:
        self._cursor, self._database, self._now, self._rowversion = cursor, database, now, rowversion
        self.changes = changes
        self.isolation = 2
        self.count = 0
        self.writing_since: datetime | None = None
        self.first_rowversion: int | None = None
        self._open = False
        self._doomed = False

    def begin(self, isolation: int = 0) -> None:
        """BEGIN TRAN."""
        self.isolation = isolation or self.isolation
        self.count += 1

    def before_read(self) -> None:
        """Before a statement that reads.

        Raises:
            SqlError: 3952 where the database does not allow snapshots; 3930 in a transaction that failed.
        """
        self._check()
        if self.count and self.isolation > 2 and not self._open:
            self._start()

    def writing(self) -> None:
        """Before a statement that writes."""
        self._check()
        if self.count and not self._open:
            self._start()
        if self.count and self.writing_since is None:
            self.writing_since, self.first_rowversion = self._now(), self._rowversion() + 1

    def commit(self, everything: bool = False) -> None:
        """COMMIT; an inner one only counts.

        Raises:
            SqlError: 3902 without a transaction, 3930 after a failure, 3960 on an update conflict.
        """
        if not self.count:
            if everything:
                return
            raise SqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        if self.count > 1 and not everything:
            self.count -= 1
            return
        doomed, was_open = self._doomed, self._open
        self._reset()
        if doomed:
            raise SqlError(
                3930,
                "The current transaction cannot be committed and cannot support operations that write to "
                "the log file.",
            )
        if was_open:
            try:
                with self.changes.committing():
                    self._cursor.execute("COMMIT")
            except duckdb.Error as error:
                self.changes.reset()
                raise translated(error, "COMMIT") from error

    def rollback(self) -> None:
        """ROLLBACK of everything; nothing to do without a transaction."""
        was_open = self._open
        self._reset()
        if was_open:
            self._cursor.execute("ROLLBACK")
        self.changes.reset()

    @contextmanager
    def own(self) -> Iterator[None]:
        """A DuckDB transaction for one statement, where none is open."""
        if self._open:
            yield
            return
        self._start()
        try:
            yield
            self._open = False
            with self.changes.committing():
                self._cursor.execute("COMMIT")
        except BaseException:
            self._open = False
            with suppress(duckdb.Error):
                self._cursor.execute("ROLLBACK")
            self.changes.reset()
            raise

    def failed(self) -> None:
        """A statement failed in DuckDB, which ends its transaction: what SQL Server does under XACT_ABORT."""
        if self._open:
            self._cursor.execute("ROLLBACK")
            self.changes.reset()
            self._open, self._doomed, self.writing_since, self.first_rowversion = False, True, None, None

    def _check(self) -> None:
        if self._doomed:
            raise SqlError(
                3930,
                "The current transaction cannot be committed and cannot support operations that write to "
                "the log file. Roll back the transaction.",
            )
        database = self._database()
        if self.isolation == SNAPSHOT and not database.snapshot:
            raise SqlError(
                3952,
                f"Snapshot isolation transaction failed accessing database '{database.name}' because "
                "snapshot isolation is not allowed in this "
                f"database. "
                "Use ALTER DATABASE to allow snapshot isolation.",
            )

    def _start(self) -> None:
        self._cursor.execute("BEGIN TRANSACTION")
        self._open = True

    def _reset(self) -> None:
        self.count, self._open, self._doomed, self.writing_since, self.first_rowversion = (
            0,
            False,
            False,
            None,
            None,
        )
