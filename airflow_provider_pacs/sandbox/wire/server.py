"""The TDS server: PRELOGIN, TLS and LOGIN7, up to a logged-in session."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import socket
import struct

from airflow_provider_pacs.sandbox.model import Engine, EngineSession, SqlError
from airflow_provider_pacs.sandbox.wire import packets, tokens
from airflow_provider_pacs.sandbox.wire.certificates import Certificate
from airflow_provider_pacs.sandbox.wire.engine_thread import EngineThread
from airflow_provider_pacs.sandbox.wire.faults import FaultPlan
from airflow_provider_pacs.sandbox.wire.packets import Login7, Message, Prelogin, ProtocolError
from airflow_provider_pacs.sandbox.wire.session import Session
from airflow_provider_pacs.sandbox.wire.tls import TLS_RECORD, Channel, ServerTls

log = logging.getLogger(__name__)

_LOGIN_SECONDS = 15
_CLOSE_SECONDS = 5
_FIRST_SPID = 51


class Server:
    """Accepts connections on one port.

    Args:
        engine: answers logins and SQL.
        certificate: shown to clients; without one only clear text works.
        faults: rules that strike connections and statements.
    """

    def __init__(
        self, engine: Engine, certificate: Certificate | None = None, faults: FaultPlan | None = None
    ) -> None:
        self.faults = faults or FaultPlan()
        self._engine = engine
        self._tls = ServerTls.of(certificate) if certificate else None
        self._spids = itertools.count(_FIRST_SPID)
        self._connections: set[asyncio.Task[None]] = set()
        self._sessions: set[Session] = set()
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chooses for 0."""
        self._listener = await asyncio.start_server(self._accept, host, port, backlog=128)
        bound: int = self._listener.sockets[0].getsockname()[1]
        log.info("listening on %s:%d, %s", host, bound, "TLS" if self._tls else "clear text")
        return bound

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._listener:
            self._listener.close()
        # A statement that runs must be interrupted first: what cleans up after it waits for the same thread.
        for session in self._sessions:
            session.interrupt()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        spid = next(self._spids) % 32768
        connection = writer.get_extra_info("socket")
        if self.faults.at_connection("refuse"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel = Channel(reader, writer)
        thread = EngineThread(f"pacs-sandbox-{spid}")
        try:
            await self._converse(channel, thread, spid)
        except (ProtocolError, OSError) as problem:
            log.info("session %d: %s: %s", spid, type(problem).__name__, problem)
        except asyncio.CancelledError:
            channel.abort()
        except Exception:
            log.exception("session %d: connection closed by a failure of the sandbox", spid)
        finally:
            thread.close()
            await channel.close()

    async def _converse(self, channel: Channel, thread: EngineThread, spid: int) -> None:
        try:
            async with asyncio.timeout(_LOGIN_SECONDS):
                login = await self._handshake(channel)
        except TimeoutError as problem:
            raise ProtocolError(f"no LOGIN7 within {_LOGIN_SECONDS} s") from problem
        if login is None:
            return
        open_engine = functools.partial(self._login, login)
        try:
            if fault := self.faults.at_login():
                raise fault
            engine = await thread.call_always(open_engine)
        except SqlError as refusal:
            log.info("session %d: login of %r refused: %s", spid, login.user, refusal)
            await channel.write(
                _answer(
                    tokens.error(refusal) + tokens.done(tokens.DONE, tokens.DONE_ERROR), login.packet_size
                )
            )
            return
        log.info(
            "session %d: login of %r from %r, %r, database %s",
            spid,
            login.user,
            login.host,
            login.application,
            engine.database,
        )
        session = Session(channel, thread, open_engine, engine, self.faults, login.packet_size, spid)
        self._sessions.add(session)
        try:
            answer = tokens.login_answer(engine.database, login.packet_size, login.extended_features)
            await channel.write(_answer(answer, packets.DEFAULT_PACKET_SIZE))
            await session.serve()
        finally:
            self._sessions.discard(session)
            await _close(session, thread)
        log.debug("session %d: closed", spid)

    def _login(self, login: Login7) -> EngineSession:
        if login.integrated:
            raise SqlError(
                18452,
                "Login failed. The login is from an untrusted domain and cannot be used with Integrated "
                "authentication.",
                14,
            )
        return self._engine.login(login.user, login.password, login.database, login.host, login.application)

    async def _handshake(self, channel: Channel) -> Login7 | None:
        """Get to LOGIN7; None when the client only looked whether the port answers."""
        first = await channel.peek()
        if first is None:
            return None
        if first == TLS_RECORD:
            await self._start_tls(channel, in_prelogin=False)
        message = await _expect(channel, packets.PRELOGIN)
        if message is None:
            return None
        wanted = Prelogin.parse(message.payload).encryption
        granted = self._encryption(wanted)
        await channel.write(
            _answer(packets.prelogin_answer(granted).serialise(), packets.DEFAULT_PACKET_SIZE)
        )
        if granted != packets.ENCRYPT_NOT_SUP and not channel.encrypted:
            await self._start_tls(channel, in_prelogin=True)
        message = await _expect(channel, packets.LOGIN7)
        if message is None:
            return None
        if granted == packets.ENCRYPT_OFF and first != TLS_RECORD:
            channel.stop_tls()
        return Login7.parse(message.payload)

    def _encryption(self, wanted: int) -> int:
        if self._tls is None or wanted == packets.ENCRYPT_NOT_SUP:
            return packets.ENCRYPT_NOT_SUP
        return packets.ENCRYPT_OFF if wanted == packets.ENCRYPT_OFF else packets.ENCRYPT_ON

    async def _start_tls(self, channel: Channel, in_prelogin: bool) -> None:
        if self._tls is None:
            raise ProtocolError("the client wants TLS and there is no certificate")
        if self.faults.at_connection("tls"):
            await channel.peek()
            raise ProtocolError("TLS handshake broken by a fault")
        await channel.start_tls(self._tls.in_prelogin if in_prelogin else self._tls.strict, in_prelogin)


def _answer(payload: bytes, size: int) -> bytes:
    return packets.message(packets.TABULAR_RESULT, payload, size)


async def _expect(channel: Channel, kind: int) -> Message | None:
    message = await channel.read_message()
    if message is not None and message.type != kind:
        raise ProtocolError(f"message of type 0x{message.type:02x} where 0x{kind:02x} belongs")
    return message


async def _close(session: Session, thread: EngineThread) -> None:
    """Stop what still runs and close the engine's session, also when the server is being stopped."""
    session.interrupt()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await thread.finish()
            await thread.call_always(session.engine.close)
    except Exception:
        log.exception("the engine's session could not be closed")
