"""What the engine asks of a source: SQL text and parameters come in, rows or Arrow record batches go out.

No driver here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    import pyarrow as pa


LobBound = Callable[[], int | Mapping[str, int]]
"""Asks the server for the largest DATALENGTH of unbounded columns: of all, or by column."""


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """What a reader's own side knows of its connection.

    Attributes:
        driver: the driver's name and version; "" where it does not say.
        encrypt: `yes`, `no` or `strict`, as asked for.
        any_certificate: the server's certificate is taken without a look at its chain, name and dates.
        certificate_name: the name that the certificate must carry.
        isolation_level: as asked for; None for the server's default.
    """

    driver: str
    encrypt: str
    any_certificate: bool
    certificate_name: str
    isolation_level: str | None = None


class SourceReader(Protocol):
    """Reads one county's PACS. An implementation need not inherit from this.

    Every method raises the errors of `sync/errors.py` and none of a driver.
    """

    @property
    def address_text(self) -> str:
        """host:port/database, for messages and logs."""

    def facts(self) -> ConnectionFacts:
        """What this side knows of the connection; opens it where it is not open yet."""

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Returns all rows of the first result set, for small results; `?` stands for a parameter."""

    def stream(
        self,
        sql: str,
        params: Sequence[str | None] = (),
        *,
        batch_rows: int | None = None,
        lob_bound: LobBound | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows of the one result set, at least its schema's worth: an empty result yields one
        empty batch.

        Args:
            sql: a statement with one result set; it may start with DECLAREs.
            params: texts for the `?`s; the statement converts them to the columns' types.
            batch_rows: most rows in a batch.
            lob_bound: returns the largest DATALENGTH of the unbounded columns (text, varchar(max), ...) to be
                read, or of each of them by its name; None where it is unknown.
        """

    def cancel(self) -> None:
        """Stops what runs, from any thread or a signal handler.

        The reader is of no use afterwards but to be closed.
        """

    def close(self) -> None:
        """Closes the connections; again is allowed."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
