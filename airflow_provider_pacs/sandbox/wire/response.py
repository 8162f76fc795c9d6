"""The answer to one request: the engine's results and the fault plan as tokens on the channel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from airflow_provider_pacs.sandbox.model import EngineSession, Param, ResultSet, RowCount
from airflow_provider_pacs.sandbox.wire import tokens
from airflow_provider_pacs.sandbox.wire.engine_thread import CancelledByClientError, EngineThread
from airflow_provider_pacs.sandbox.wire.faults import Fault, FaultPlan
from airflow_provider_pacs.sandbox.wire.packets import HEADER, Packetizer
from airflow_provider_pacs.sandbox.wire.rows import RowEncoder, chunks
from airflow_provider_pacs.sandbox.wire.tls import Channel


class DroppedByFaultError(Exception):
    """A fault wants the connection closed here."""


@dataclass(slots=True)
class Response:
    """Tokens of one TABULAR_RESULT message.

    A DONE is held back until it is known whether another follows, because only the last one comes without
    DONE_MORE.
    """

    channel: Channel
    thread: EngineThread
    faults: FaultPlan
    packets: Packetizer
    _held: tuple[int | None, bool] | None = field(default=None, init=False)

    async def add(self, data: bytes) -> None:
        """Append whole tokens."""
        await self.channel.write(self.packets.feed(data))

    async def run(self, engine: EngineSession, sql: str, params: Sequence[Param], in_procedure: bool) -> None:
        """Execute a statement and append what it answers.

        Raises:
            SqlError: from the engine or a fault; what was appended stays valid.
            CancelledByClientError: the client sent attention.
            DroppedByFaultError: a fault.
        """
        faults = self.faults.for_statement(sql)
        for fault in faults:
            if fault.rows is None:
                await self._inflict(fault)
        at_rows = sorted(
            (fault for fault in faults if fault.rows is not None), key=lambda fault: fault.rows or 0
        )
        results = await self.thread.call(lambda: iter(engine.execute(sql, params)))
        database = engine.database
        try:
            while (item := await self.thread.call(next, results, None)) is not None:
                if engine.database != database:
                    await self._release()
                    await self.add(tokens.database_changed(engine.database, database))
                    database = engine.database
                if isinstance(item, ResultSet):
                    await self._release()
                    await self._done(await self._rows(item, at_rows), True, in_procedure)
                elif isinstance(item, RowCount):
                    await self._done(item.rows, False, in_procedure)
        finally:
            await self._close(results)
        if engine.database != database:
            await self.add(tokens.database_changed(engine.database, database))

    async def rows_of(self, result: ResultSet) -> None:
        """Append the result set of a system procedure; faults do not strike it."""
        await self._done(await self._rows(result, ()), True, True)

    async def _rows(self, result: ResultSet, faults: Sequence[Fault]) -> int:
        """Send one result set; returns how many rows it had."""
        encoder = RowEncoder(result.columns)
        await self.add(tokens.column_metadata(result.columns))
        slow = next((fault for fault in faults if fault.action == "slow"), None)
        due = [fault for fault in faults if fault.action != "slow"]
        sent = 0
        try:
            while (batch := await self.thread.call(next, result.batches, None)) is not None:
                for chunk in chunks(batch, slow.rows if slow else None):
                    piece = chunk
                    if slow and self.faults.strike(slow):
                        await self.thread.pause(slow.seconds)
                    while due and (due[0].rows or 0) < sent + piece.num_rows:
                        fault = due.pop(0)
                        head = piece.slice(0, max(0, (fault.rows or 0) - sent))
                        await self._send(encoder, head)
                        sent += head.num_rows
                        piece = piece.slice(head.num_rows)
                        await self._inflict(fault)
                    await self._send(encoder, piece)
                    sent += piece.num_rows
        finally:
            await self._close(result.batches)
        return sent

    async def _send(self, encoder: RowEncoder, piece: pa.RecordBatch) -> None:
        await self.add(await self.thread.call(encoder.encode, piece))
        if self.thread.attention.is_set():
            raise CancelledByClientError

    async def _inflict(self, fault: Fault) -> None:
        if not self.faults.strike(fault):
            return
        if fault.action == "error":
            raise fault.error()
        if fault.action == "stall":
            await self.thread.pause(fault.seconds)
            return
        # What waits goes out first, so that the client has every row before the fault.
        waiting = self.packets.flush()
        if fault.action == "half":
            # A packet that announces more than comes.
            kind, status, _, spid, number, window = HEADER.unpack_from(waiting)
            waiting = (
                HEADER.pack(kind, status, self.packets.size, spid, number, window) + waiting[HEADER.size :]
            )
        elif len(waiting) == HEADER.size:
            waiting = b""
        await self.channel.write(waiting)
        raise DroppedByFaultError(fault.action)

    async def _close(self, iterator: Iterator[object]) -> None:
        close = getattr(iterator, "close", None)
        if close is not None:
            await self.thread.call_always(close)

    async def _done(self, rows: int | None, select: bool, in_procedure: bool) -> None:
        await self._release()
        if in_procedure:
            await self.add(tokens.done(tokens.DONE_IN_PROC, tokens.DONE_MORE, rows, select))
        else:
            self._held = (rows, select)

    async def _release(self) -> None:
        if self._held is not None:
            rows, select = self._held
            self._held = None
            await self.add(tokens.done(tokens.DONE, tokens.DONE_MORE, rows, select))

    async def last_done(self) -> None:
        """Append the DONE that ends a batch."""
        rows, select = self._held or (None, False)
        self._held = None
        await self.add(tokens.done(tokens.DONE, 0, rows, select))

    async def add_after_done(self, data: bytes) -> None:
        """Append tokens behind the DONE that is held back, which is then not the last one."""
        await self._release()
        await self.add(data)

    async def finish(self) -> None:
        """Send the last packet. Attention that came meanwhile is acknowledged in this message."""
        await self.thread.finish()
        if self.thread.attention.is_set():
            await self.add(tokens.done(tokens.DONE, tokens.DONE_ATTENTION))
            self.thread.attention.clear()
        await self.channel.write(self.packets.finish())
