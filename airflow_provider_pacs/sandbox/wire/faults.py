"""Faults on demand: rules as one line of text each decide what goes wrong for a connection or a statement.

A rule is `action[=number][@stage] [match=REGEX] [times=N] [seconds=S] [message=TEXT]`:

* `refuse` closes a connection at once, `tls` breaks its TLS handshake, `error=18456@login` refuses its login;
* `drop`, `half` (half a packet, then drop), `stall` and `error=1205` strike a statement before its result, or
  with `@rows=N` after N rows; a drop comes after a whole row unless it is `half`, whose last packet the
  client throws away as a whole;
* `slow@rows=N seconds=S` pauses S seconds before every N rows.

`match` is searched in the SQL text (quote it when it has blanks), `times` says how often a rule strikes: for
ever by default.
"""

from __future__ import annotations

import re
import shlex
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final

from airflow_provider_pacs.sandbox.model import SqlError

_CONNECTION_ACTIONS = ("refuse", "tls")
_STATEMENT_ACTIONS = ("drop", "half", "stall", "slow", "error")
_RULE = re.compile(r"(?P<action>[a-z]+)(?:=(?P<number>\d+))?(?:@(?:(?P<login>login)|rows=(?P<rows>\d+)))?")

MESSAGES: Final = {
    208: (16, 1, "Invalid object name 'sandbox.fault'."),
    229: (
        14,
        5,
        "The SELECT permission was denied on the object 'fault', database 'PACS', schema 'sandbox'.",
    ),
    701: (17, 123, "There is insufficient system memory in resource pool 'default' to run this query."),
    1205: (
        13,
        51,
        "Transaction was deadlocked on lock resources with another process and has been chosen as the "
        "deadlock victim. Rerun the transaction.",
    ),
    1222: (16, 51, "Lock request time out period exceeded."),
    3960: (16, 2, "Snapshot isolation transaction aborted due to update conflict."),
    4060: (11, 1, "Cannot open database requested by the login. The login failed."),
    9002: (17, 2, "The transaction log for database 'PACS' is full due to 'LOG_BACKUP'."),
    10928: (16, 1, "Resource ID: 1. The request limit for the database is 60 and has been reached."),
    10929: (
        16,
        1,
        "Resource ID: 1. The server is currently too busy to support requests greater than the minimum "
        "guarantee.",
    ),
    18456: (14, 1, "Login failed for user."),
    40197: (
        17,
        1,
        "The service has encountered an error processing your request. Please try again. Error code 40143.",
    ),
    40501: (17, 1, "The service is currently busy. Retry the request after 10 seconds."),
    40613: (
        17,
        1,
        "Database 'PACS' on server 'pacs-sandbox' is not currently available. Please retry the connection "
        "later.",
    ),
}
"""Severity, state and text of the errors worth injecting."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule."""

    action: str
    number: int = 0
    rows: int | None = None
    at_login: bool = False
    match: re.Pattern[str] | None = None
    times: int | None = None
    seconds: float = 3600.0
    message: str = ""

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Parse a rule as the module's docstring describes it.

        Raises:
            ValueError: it is not a rule; the text says why.
        """
        head, *rest = shlex.split(text) or [""]
        result = _RULE.fullmatch(head)
        if not result or result["action"] not in _CONNECTION_ACTIONS + _STATEMENT_ACTIONS:
            raise ValueError(
                f"fault {head!r}: expected one of {', '.join(_CONNECTION_ACTIONS + _STATEMENT_ACTIONS)}"
            )
        if (result["action"] == "error") != (result["number"] is not None):
            raise ValueError(f"fault {head!r}: error, and only error, has a number: error=1205")
        if result["action"] == "slow" and not int(result["rows"] or 0):
            raise ValueError(f"fault {head!r}: slow needs a number of rows: slow@rows=100")
        options = dict(word.partition("=")[::2] for word in rest)
        if unknown := set(options) - {"match", "times", "seconds", "message"}:
            raise ValueError(f"fault {text!r}: unknown {', '.join(sorted(unknown))}")
        try:
            match = re.compile(options["match"], re.IGNORECASE | re.DOTALL) if "match" in options else None
        except re.error as problem:
            raise ValueError(f"fault {text!r}: match is no regular expression: {problem}") from problem
        return cls(
            action=result["action"],
            number=int(result["number"] or 0),
            rows=None if result["rows"] is None else int(result["rows"]),
            at_login=bool(result["login"]),
            match=match,
            times=int(options["times"]) if "times" in options else None,
            seconds=float(options.get("seconds", 3600.0)),
            message=options.get("message", ""),
        )

    def error(self) -> SqlError:
        """The error that an `error` rule raises."""
        severity, state, text = MESSAGES.get(self.number, (16, 1, f"Injected error {self.number}."))
        return SqlError(self.number, self.message or text, severity=severity, state=state)


class FaultPlan:
    """Rules of one server. Every method may be called from any thread."""

    def __init__(self, rules: tuple[str | Fault, ...] | list[str | Fault] | list[str] = ()) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._struck: Counter[int] = Counter()
        for rule in rules:
            self.add(rule)

    def add(self, rule: str | Fault) -> Fault:
        """Add a rule.

        Raises:
            ValueError: the text is not a rule.
        """
        fault = Fault.parse(rule) if isinstance(rule, str) else rule
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._faults.clear()
            self._struck.clear()

    def struck(self, fault: Fault) -> int:
        """How often a rule of this plan struck."""
        with self._lock:
            return self._struck[id(fault)]

    def strike(self, fault: Fault) -> bool:
        """Use a rule once; False when it is used up or was removed meanwhile."""
        with self._lock:
            if not any(known is fault for known in self._faults) or self._spent(fault):
                return False
            self._struck[id(fault)] += 1
            return True

    def at_connection(self, action: str) -> bool:
        """Use up a rule `refuse` or `tls`, if there is one."""
        return any(self.strike(fault) for fault in self._waiting() if fault.action == action)

    def at_login(self) -> SqlError | None:
        """Use up a rule `error=N@login`, if there is one."""
        return next(
            (fault.error() for fault in self._waiting() if fault.at_login and self.strike(fault)), None
        )

    def for_statement(self, sql: str) -> list[Fault]:
        """The rules that match a statement, in the order they were added.

        They are not used up: `strike` does that.
        """
        return [
            fault
            for fault in self._waiting()
            if fault.action in _STATEMENT_ACTIONS
            and not fault.at_login
            and (fault.match is None or fault.match.search(sql))
        ]

    def _waiting(self) -> list[Fault]:
        with self._lock:
            return [fault for fault in self._faults if not self._spent(fault)]

    def _spent(self, fault: Fault) -> bool:
        return fault.times is not None and self._struck[id(fault)] >= fault.times
