"""One logged-in connection: reads its requests and answers them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import Callable
from typing import Final

from airflow_provider_pacs.sandbox.model import EngineSession, SqlError
from airflow_provider_pacs.sandbox.wire import packets, procedures, tokens
from airflow_provider_pacs.sandbox.wire.engine_thread import CancelledByClientError, EngineThread
from airflow_provider_pacs.sandbox.wire.faults import FaultPlan
from airflow_provider_pacs.sandbox.wire.packets import Cursor, Message, Packetizer, ProtocolError
from airflow_provider_pacs.sandbox.wire.response import DroppedByFaultError, Response
from airflow_provider_pacs.sandbox.wire.rpc import Call, bind, parse_rpc
from airflow_provider_pacs.sandbox.wire.tls import Channel

log = logging.getLogger(__name__)

_BEGIN, _COMMIT, _ROLLBACK = 5, 7, 8
_ENV_BEGIN, _ENV_COMMIT, _ENV_ROLLBACK = 8, 9, 10
_DEADLOCK = 1205
_FATAL = 20
_FAULT_PROCEDURE: Final = re.compile(
    r"\s*exec(?:ute)?\s+sandbox\.(fault|clear_faults)\b\s*(?:N?'((?:[^']|'')*)')?[\s;]*", re.IGNORECASE
)


class Session:
    """Serves requests until the client leaves.

    Args:
        channel: the connection after login.
        thread: where engine calls run.
        open_engine: logs in again; a pooled connection's reset needs it.
        engine: what the login opened.
        faults: the server's fault plan.
        packet_size: as negotiated.
        spid: the session's number.
    """

    def __init__(
        self,
        channel: Channel,
        thread: EngineThread,
        open_engine: Callable[[], EngineSession],
        engine: EngineSession,
        faults: FaultPlan,
        packet_size: int,
        spid: int,
    ) -> None:
        self.engine = engine
        self._channel = channel
        self._thread = thread
        self._open_engine = open_engine
        self._faults = faults
        self._packet_size = packet_size
        self._spid = spid
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue(4)
        self._left: Exception | None = None
        self._transactions = itertools.count(1)
        self._transaction = b""
        self._handles = itertools.count(1)
        self._prepared: dict[int, tuple[str, str | None]] = {}

    async def serve(self) -> None:
        """Answer every request.

        Raises:
            ProtocolError: the client does not speak TDS.
            ConnectionError: it went away inside a message.
        """
        listener = asyncio.create_task(self._listen())
        try:
            while (message := await self._inbox.get()) is not None:
                if message.type != packets.ATTENTION:
                    if not await self._answer(message):
                        return
                elif self._thread.attention.is_set():
                    await self._response().finish()
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        if self._left is not None:
            raise self._left

    def interrupt(self) -> None:
        """Cancel what runs, as the client's attention does."""
        self._thread.interrupt(self.engine.cancel)

    async def _listen(self) -> None:
        """Read ahead, so that attention and a closed connection are seen while a request runs."""
        try:
            while message := await self._channel.read_message():
                if message.type == packets.ATTENTION:
                    self.interrupt()
                await self._inbox.put(message)
        except (ProtocolError, OSError) as problem:
            self._left = problem
        self.interrupt()
        await self._inbox.put(None)

    def _response(self) -> Response:
        return Response(
            self._channel, self._thread, self._faults, Packetizer(size=self._packet_size, spid=self._spid)
        )

    async def _answer(self, message: Message) -> bool:
        """Answer one request; False when the connection must be closed."""
        response = self._response()
        try:
            await self._reset(response, message.status)
            stay = await self._dispatch(response, message)
        except CancelledByClientError:
            log.debug("session %d: cancelled by the client", self._spid)
            # Without an erroneous DONE before the acknowledgement the driver takes a cancelled statement for
            # a good one.
            await response.add(tokens.done(tokens.DONE, tokens.DONE_ERROR | tokens.DONE_MORE))
            stay = True
        except DroppedByFaultError as fault:
            log.info("session %d: connection closed by fault %s", self._spid, fault)
            return False
        await response.finish()
        return stay

    async def _reset(self, response: Response, status: int) -> None:
        if status & packets.RESET_CONNECTION:
            await self._thread.call_always(self.engine.close)
            self.engine = await self._thread.call_always(self._open_engine)
            self._prepared.clear()
            self._transaction = b""
        if status & (packets.RESET_CONNECTION | packets.RESET_CONNECTION_KEEP_TRANSACTION):
            await response.add(tokens.connection_reset())

    async def _dispatch(self, response: Response, message: Message) -> bool:
        if message.type == packets.RPC:
            calls = parse_rpc(message.payload)
            for position, call in enumerate(calls):
                if not await self._call(response, call, position == len(calls) - 1):
                    return False
            return True
        try:
            if message.type == packets.SQL_BATCH:
                await self._batch(response, Cursor(message.payload))
            elif message.type == packets.TRANSACTION_MANAGER:
                await self._transaction_manager(response, Cursor(message.payload))
            else:
                raise ProtocolError(f"request of type 0x{message.type:02x}")
            await response.last_done()
            return True
        except Exception as problem:
            error = await self._fail(response, problem)
            await response.add(tokens.done(tokens.DONE, tokens.DONE_ERROR))
            return error.severity < _FATAL

    async def _fail(self, response: Response, problem: Exception) -> SqlError:
        """Turn a problem into an ERROR token. What is not a statement's failure is raised again."""
        if isinstance(problem, CancelledByClientError | DroppedByFaultError | ProtocolError | OSError):
            raise problem
        if isinstance(problem, SqlError):
            error = problem
        else:
            log.error("session %d: the engine failed", self._spid, exc_info=problem)
            error = SqlError(50000, f"The sandbox failed: {type(problem).__name__}: {problem}")
        await response.add_after_done(tokens.error(error))
        if error.number == _DEADLOCK:
            await self._thread.call_always(self.engine.rollback)
            if self._transaction:
                await self._end_transaction(response, _ENV_ROLLBACK)
        return error

    async def _batch(self, response: Response, cursor: Cursor) -> None:
        cursor.skip_all_headers()
        sql = packets.utf16_text(cursor.take(cursor.remaining))
        if result := _FAULT_PROCEDURE.fullmatch(sql):
            self._plan_fault(result[1].lower(), result[2])
        else:
            await response.run(self.engine, sql, (), in_procedure=False)

    def _plan_fault(self, procedure: str, argument: str | None) -> None:
        if procedure == "clear_faults":
            self._faults.clear()
            return
        try:
            self._faults.add((argument or "").replace("''", "'"))
        except ValueError as problem:
            raise SqlError(50000, str(problem)) from problem

    async def _transaction_manager(self, response: Response, cursor: Cursor) -> None:
        cursor.skip_all_headers()
        request = cursor.uint(2)
        if request == _BEGIN:
            await self._begin(response, cursor.uint(1))
        elif request in (_COMMIT, _ROLLBACK):
            cursor.take(cursor.uint(1))
            starts_another = bool(cursor.uint(1) & 1)
            await self._thread.call(self.engine.commit if request == _COMMIT else self.engine.rollback)
            await self._end_transaction(response, _ENV_COMMIT if request == _COMMIT else _ENV_ROLLBACK)
            if starts_another:
                await self._begin(response, cursor.uint(1))
        else:
            raise SqlError(8525, f"Transaction manager request {request} is not supported.")

    async def _begin(self, response: Response, isolation: int) -> None:
        await self._thread.call(self.engine.begin, isolation)
        self._transaction = next(self._transactions).to_bytes(8, "little")
        await response.add(tokens.transaction_changed(_ENV_BEGIN, new=self._transaction))

    async def _end_transaction(self, response: Response, kind: int) -> None:
        await response.add(tokens.transaction_changed(kind, old=self._transaction))
        self._transaction = b""

    async def _call(self, response: Response, call: Call, last: bool) -> bool:
        """Answer one RPC call; False when the connection must be closed."""
        more = 0 if last else tokens.DONE_MORE
        try:
            returned = await self._procedure(response, call)
            await response.add(tokens.return_status(0) + returned + tokens.done(tokens.DONE_PROC, more))
            return True
        except Exception as problem:
            error = await self._fail(response, problem)
            await response.add(
                tokens.return_status(error.number) + tokens.done(tokens.DONE_PROC, more | tokens.DONE_ERROR)
            )
            return error.severity < _FATAL

    async def _procedure(self, response: Response, call: Call) -> bytes:
        """Run a system procedure; returns its output parameters."""
        arguments = call.arguments
        if call.procedure == "sp_executesql":
            declarations = call.text(1) if len(arguments) > 1 else None
            await response.run(
                self.engine, call.text(0), bind(declarations, arguments[2:]), in_procedure=True
            )
        elif call.procedure in ("sp_prepare", "sp_prepexec"):
            self._prepared.pop(arguments[0].value if arguments else 0, None)
            declarations = call.text(1) if len(arguments) > 1 and arguments[1].value is not None else None
            sql = call.text(2)
            if call.procedure == "sp_prepexec":
                await response.run(self.engine, sql, bind(declarations, arguments[3:]), in_procedure=True)
            handle = next(self._handles)
            self._prepared[handle] = (sql, declarations)
            return tokens.return_int(0, arguments[0].name, handle)
        elif call.procedure == "sp_execute":
            sql, declarations = self._statement(call)
            await response.run(self.engine, sql, bind(declarations, arguments[1:]), in_procedure=True)
        elif call.procedure == "sp_unprepare":
            self._statement(call)
            del self._prepared[arguments[0].value]
        else:
            await response.rows_of(await self._thread.call(procedures.answer, self.engine, call))
        return b""

    def _statement(self, call: Call) -> tuple[str, str | None]:
        handle = call.arguments[0].value if call.arguments else None
        if handle not in self._prepared:
            raise SqlError(8179, f"Could not find prepared statement with handle {handle}.", state=2)
        return self._prepared[handle]
