"""County configs come in; each distinct target is asked once, side by side, within two seconds, and one that
is down or hangs costs one short wait, not one per request.

Airflow's api-server answers everything from one pool of threads, so a request of the page may wait for a
target for a moment only, and few requests at a time: threads of the page's own do the asking, a target has a
few of them at most, and a request that finds none free gets that answer at once. A target that failed is
left alone for a while; then one request tries it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_pacs.hooks.target import target_params
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError
from airflow_provider_pacs.sync.runtime.secrets import describe_foreign
from airflow_provider_pacs.sync.target.postgres.page_actions import OpsActions
from airflow_provider_pacs.sync.target.postgres.read import OpsReader
from airflow_provider_pacs.sync.target.postgres.tls import refuse_weak

T = TypeVar("T")
Journal = TypeVar("Journal", bound=OpsReader)
DEADLINE_SECONDS = 2.0
"""What a request waits for a target at most, from the look-up of its connection to its last row."""
PER_TARGET, IN_ALL = 4, 12
"""Questions that are asked at the same time, of one target and of all."""
REST_SECONDS = 10.0
"""A target that could not be reached is left alone this long; requests in between get the same answer."""


class OverloadedError(RetryableError):
    """Too many requests wait for a target at this moment; the answer says when to try again."""


@dataclass(slots=True)
class _Circuit:
    """What is known of one target."""

    busy: int = 0
    until: float = 0.0
    error: PacsError | None = None
    trying: bool = False


@dataclass(slots=True)
class _Asking:
    """A question under way."""

    connection: str
    until: float
    future: Future[Any] | None = None
    reader: OpsReader | None = None
    abandoned: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


_lock = threading.Lock()
_circuits: dict[str, _Circuit] = {}
_pool = ThreadPoolExecutor(IN_ALL, thread_name_prefix="pacs-page")


@dataclass(frozen=True, slots=True)
class Asked:
    """What one target said: an answer or an error."""

    connection: str
    seconds: float
    error: PacsError | None = None


def ask(config: CountyConfig, question: Callable[[OpsReader], T]) -> T | None:
    """Put a question about one county to its target; None where its journal's tables do not exist yet.

    Raises:
        PacsError: it can't be reached, can't answer in time, too many ask already, or the FIPS code is
            another county's there.
    """

    def of_the_county(reader: OpsReader) -> T:
        if config.fips not in _own(reader, [config]):
            raise _not_its_own(config)
        return question(reader)

    answer: T | None = _result(_start(config.target.connection, of_the_county, config.target.tls))
    return answer


def act(config: CountyConfig, action: Callable[[OpsActions], T]) -> T | None:
    """Note in the county's journal what somebody did on the page; None where there is no journal yet, before
    the county's first run.

    Raises:
        PacsError: as `ask`.
    """

    def of_the_county(journal: OpsActions) -> T:
        if config.fips not in _own(journal, [config]):
            raise _not_its_own(config)
        return action(journal)

    done: T | None = _result(
        _start(config.target.connection, of_the_county, config.target.tls, opened_by=OpsActions)
    )
    return done


def ask_each(
    configs: Iterable[CountyConfig], question: Callable[[OpsReader, list[str]], T]
) -> dict[str, tuple[Asked, T | None]]:
    """Put a question about its counties (FIPS codes) to each distinct target. A code that is another county's
    in the target is left out: a permission is for a county, whatever its file says.
    """
    wanted: dict[str, list[CountyConfig]] = {}
    for config in configs:
        wanted.setdefault(config.target.connection, []).append(config)
    began = time.monotonic()
    started: dict[str, _Asking | PacsError] = {}
    for connection, counties in wanted.items():
        try:
            strict = any(config.target.tls == "strict" for config in counties)
            started[connection] = _start(
                connection, _about(counties, question), "strict" if strict else "warn"
            )
        except PacsError as error:
            started[connection] = error
    answers: dict[str, tuple[Asked, T | None]] = {}
    for connection, asking in started.items():
        try:
            answer = _result(asking)
        except PacsError as error:
            answers[connection] = Asked(connection, time.monotonic() - began, error), None
        else:
            answers[connection] = Asked(connection, time.monotonic() - began), answer
    return answers


def forget() -> None:
    """Forget which targets were down."""
    with _lock:
        for circuit in _circuits.values():
            circuit.error = None


def _about(
    counties: list[CountyConfig], question: Callable[[OpsReader, list[str]], T]
) -> Callable[[OpsReader], T]:
    def asked(reader: OpsReader) -> T:
        own = _own(reader, counties)
        if not own and counties:
            raise _not_its_own(counties[0])
        return question(reader, own)

    return asked


def _own(reader: OpsReader, configs: list[CountyConfig]) -> list[str]:
    """FIPS codes that are these counties' in the target, or nobody's yet."""
    recorded = reader.counties([config.fips for config in configs])
    return [config.fips for config in configs if recorded.get(config.fips, config.county) == config.county]


def _not_its_own(config: CountyConfig) -> ConfigError:
    return ConfigError(
        f"{config.county}: FIPS {config.fips} is another county's in the target",
        remedy="correct `fips` in the county's file",
    )


def _start(
    connection: str,
    question: Callable[[Journal], T],
    tls: str,
    opened_by: type[Journal] = OpsReader,  # type: ignore[assignment] # a default of a type variable
) -> _Asking:
    """Begin, unless the target is left alone or enough requests wait already. Where a county's file says
    `target.tls: strict`, nothing is sent over a weaker connection.

    Raises:
        PacsError: why not.
    """
    with _lock:
        circuit = _circuits.setdefault(connection, _Circuit())
        if circuit.error is not None:
            if time.monotonic() < circuit.until or circuit.trying:
                raise circuit.error
            circuit.trying = True  # one request tries; the others get the last answer until it knows
        if circuit.busy >= PER_TARGET or sum(each.busy for each in _circuits.values()) >= IN_ALL:
            circuit.trying = False
            raise OverloadedError(
                f"too many requests wait for {connection} at this moment", remedy="try again in a few seconds"
            )
        circuit.busy += 1
    asking = _Asking(connection, time.monotonic() + DEADLINE_SECONDS)
    asking.future = _pool.submit(_work, asking, question, tls, opened_by)
    return asking


def _work(asking: _Asking, question: Callable[[Journal], T], tls: str, opened_by: type[Journal]) -> T | None:
    """In a thread of the page's own."""
    try:
        params = target_params(_stored(asking.connection))
        refuse_weak(params, tls)
        with opened_by(params) as reader:
            with asking.lock:
                asking.reader = reader
                late = asking.abandoned
            return question(reader) if not late and reader.is_ready() else None
    finally:
        with _lock:
            _circuits[asking.connection].busy -= 1


def _result(asking: _Asking | PacsError) -> Any:
    """Wait for the answer, until the deadline and no longer."""
    if isinstance(asking, PacsError):
        raise asking
    assert asking.future is not None
    try:
        answer = asking.future.result(max(0.0, asking.until - time.monotonic()))
    except TimeoutError:
        with asking.lock:
            asking.abandoned = True
            if asking.reader is not None:
                asking.reader.abort()
        late = RetryableError(
            f"{asking.connection} did not answer within {DEADLINE_SECONDS:g} s",
            remedy="check the target's server; the page tries it again by itself",
        )
        _note(asking.connection, late)
        raise late from None
    except PacsError as error:
        _note(asking.connection, error if isinstance(error, RetryableError) else None)
        raise
    except Exception as error:
        _note(asking.connection, None)
        raise ConfigError(
            f"{asking.connection} can't be asked: {describe_foreign(error)}",
            remedy="check the connection's fields and what the journal holds",
        ) from None
    _note(asking.connection, None)
    return answer


def _note(connection: str, error: PacsError | None) -> None:
    """Open the target's circuit, or close it."""
    with _lock:
        circuit = _circuits[connection]
        circuit.error, circuit.trying = error, False
        circuit.until = time.monotonic() + REST_SECONDS


def _stored(connection: str) -> Connection:
    try:
        return Connection.get_connection_from_secrets(connection)
    except AirflowNotFoundException:
        raise ConfigError(
            f"the connection {connection!r} is not defined in Airflow",
            remedy=f"add a postgres connection {connection!r}",
        ) from None
