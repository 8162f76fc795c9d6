"""A crash at one statement: the next statements of either end are counted, and one of them does not return."""

from __future__ import annotations

from typing import Any, Self

from airflow_provider_pacs.sync.runtime.errors import RetryableError


class Fault:
    """Armed for the n-th statement; it fires once."""

    def __init__(self) -> None:
        self._left = 0
        self.fired = False

    def arm(self, statements: int) -> None:
        """The n-th statement from now fails; 0 for none."""
        self._left, self.fired = statements, False

    def disarm(self) -> None:
        """No statement fails any more."""
        self._left = 0

    def statement(self, *_: object) -> None:
        """A statement is about to run."""
        if self._left:
            self._left -= 1
            if not self._left:
                self.fired = True
                raise RetryableError("the connection was lost in the middle of this statement")


def failing_cursor(cursor: type[Any], fault: Fault) -> type[Any]:
    """A cursor class of the target whose statements may fail."""

    class FailingCursor(cursor):  # type: ignore[misc]
        def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
            fault.statement()
            return super().execute(query, params, **options)  # type: ignore[no-any-return]

    return FailingCursor


class CachedCatalog:
    """A reader's `query` whose answers about the catalog are kept: no example changes a table."""

    def __init__(self, query: Any, kept: dict[Any, Any]) -> None:
        self._query, self._kept = query, kept

    def __call__(self, sql: str, params: Any = ()) -> list[dict[str, Any]]:
        text = sql.lower()
        if "dm_" in text or not ("sys." in text or "information_schema" in text or "fn_my" in text):
            return self._query(sql, params)  # type: ignore[no-any-return]
        asked = (sql, tuple(params))
        if asked not in self._kept:
            self._kept[asked] = self._query(sql, params)
        return [dict(row) for row in self._kept[asked]]
