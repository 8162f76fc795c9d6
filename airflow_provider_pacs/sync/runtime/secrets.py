"""A text of an error comes in; what may leave the process goes out: no password, no row's value.

The page, Airflow's banner and task log, the journal and the command line all show texts of errors. Ours are
masked when they are made (`PacsError`); of everybody else's only the class and the place are shown, because
such a text may quote whatever the code was working on: a row, a connection string, a setting.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path

_NAMED = re.compile(
    r"\b(pwd|password|passfile|sslpassword|accesstoken|access_token|client_secret|oauth_client_secret|secret|"
    r"token|uid)\b\s*=\s*(\{(?:[^}]|\}\})*\}?|\"[^\"]*\"|'(?:[^'\\]|\\.)*'|[^;\s]*)",
    re.IGNORECASE,
)
_CONNECTION_STRING = re.compile(
    r"\b(driver|server|dsn|data source)\s*=\s*(\{(?:[^}]|\}\})*\}?|[^;\s]*)\s*;.*", re.IGNORECASE | re.DOTALL
)
_IN_URL = re.compile(r"://[^\n]*@")
"""Everything up to the last @ of the line: a password may hold /, @, ? or a blank that nobody encoded."""
_HALF_OF_ONE = re.compile(r"(host(?: name)? )(['\"])[^'\"\n]*@")
"""What libpq takes for a host's name after an unencoded @: the rest of the password."""
_PACKAGE = Path(__file__).parents[2]


def mask_credentials(text: str) -> str:
    """Give the text without passwords, tokens, the user part of URLs, and connection strings."""
    text = _CONNECTION_STRING.sub("<connection string>", text)
    text = _IN_URL.sub("://", _NAMED.sub(r"\1=***", text))
    return _HALF_OF_ONE.sub(r"\1\2", text)


def describe_foreign(error: BaseException) -> str:
    """Say of an error that is not ours its class and where in this package it came up; none of its text."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    place = f" at {Path(frames[-1].filename).relative_to(_PACKAGE)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
