"""The passwords of one command, so that no message which it prints holds one."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
SHORTEST = 4
"""Shorter texts stand in ordinary words: masking them would hide the message and protect nothing."""
_QUERY_SECRET = re.compile(r"[?&;\s](?:password|pwd|passfile|sslpassword)=([^&;\s]*)", re.IGNORECASE)
_DELIMITERS = re.compile(r"[/@:?#&=\[\]%\s]+")


class Secrets:
    """Texts that must not be printed, in every form in which a message could carry them."""

    def __init__(self) -> None:
        self._forms: set[str] = set()

    def add(self, secret: str | None) -> None:
        """Remember a password: as it is, and as a URL or a connection string would write it."""
        if secret:
            plain = {secret, unquote(secret)}
            forms = plain | {secret.replace("}", "}}")}
            forms |= {encode(text, safe="") for text in plain for encode in (quote, quote_plus)}
            self._forms |= {form for form in forms if len(form) >= SHORTEST}

    def add_url(self, url: str | None) -> None:
        """Remember the password of a URL, whatever characters stand in it.

        A password whose `/`, `@`, `?` or `#` is not percent-encoded moves parts of it to other parts of the
        URL, and a driver's message may quote such a part. So everything from the user's `:` to the last `@`
        counts as the password, and so does each of its parts.
        """
        if not url:
            return
        for value in _QUERY_SECRET.findall(url):
            self.add(value)
        rest = url.partition("://")[2]
        if "@" not in rest:
            return
        secret = rest.rpartition("@")[0].partition(":")[2]
        self.add(secret)
        for part in _DELIMITERS.split(secret):
            self.add(part)

    def mask(self, text: str) -> str:
        """The text with each secret replaced; the longest first, so that no end of one is left."""
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, MASK)
        return text
