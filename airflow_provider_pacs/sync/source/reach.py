"""Can the server be reached at all: an address -> nothing, or which of DNS and port it was, within seconds.

Below the driver, because Microsoft's says "Login timeout expired" for a name that does not exist, for a
port that is closed and for a server that is slow, each time after the whole time-out.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_pacs.sync.runtime.errors import PacsError, RetryableError
from airflow_provider_pacs.sync.source.errors import UnknownHostError

if TYPE_CHECKING:
    from airflow_provider_pacs.sync.source.address import SourceAddress

LONGEST_SECONDS = 5.0
"""A handshake over any network that can carry a county's tables is shorter."""
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_REFUSED = "Check the port, that SQL Server runs and listens on TCP there (SQL Server Configuration Manager)."
_SILENT = "Check the port and the firewalls on the way: whoever drops packets gives no answer."


class UnreachableError(RetryableError):
    """The port does not answer, or DNS does not. A fresh attempt may find it up; many in a row are for the
    task's own retries.
    """


def reach(address: SourceAddress) -> None:
    """Open and close a TCP connection, before the driver does.

    Raises:
        UnknownHostError: DNS knows no such name.
        UnreachableError: DNS did not answer, the port is closed, or nothing answers there.
    """
    host, port = address.host.split("\\")[0], address.port or 1433
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise unknown_host(address, host, error) from None
    if "\\" in address.host and address.port is None:
        return  # SQL Server Browser names the port, over UDP
    seconds = min(float(address.login_timeout or LONGEST_SECONDS), LONGEST_SECONDS)
    reasons: list[OSError] = []
    for address_family, kind, protocol, _, place in places:
        with socket.socket(address_family, kind, protocol) as probe:
            probe.settimeout(seconds)
            try:
                probe.connect(place)
            except OSError as error:
                reasons.append(error)
            else:
                return
    raise unreachable(address, port, seconds, reasons)


def unknown_host(address: SourceAddress, host: str, error: socket.gaierror) -> PacsError:
    """What DNS's answer means."""
    if error.errno in _NO_SUCH_NAME:
        return UnknownHostError(
            f"{address.text}: DNS knows no host {host!r}.",
            remedy="Correct the connection's host, or make the name known to this machine (DNS or "
            "/etc/hosts).",
        )
    return UnreachableError(
        f"{address.text}: DNS gave no answer for {host!r} ({error.strerror}).",
        remedy="Check this machine's DNS; it is tried again.",
    )


def unreachable(
    address: SourceAddress, port: int, seconds: float, reasons: Sequence[OSError]
) -> UnreachableError:
    """Which of a closed port and silence it was."""
    closed = any(error.errno == errno.ECONNREFUSED for error in reasons)
    what = f"port {port} is closed" if closed else f"port {port} does not answer within {seconds:g} s"
    named = {error.strerror for error in reasons if error.strerror and error.errno != errno.ECONNREFUSED}
    detail = f" ({', '.join(sorted(named))})" if named and not closed else ""
    return UnreachableError(
        f"{address.text}: DNS knows the host, but {what}{detail}.", remedy=_REFUSED if closed else _SILENT
    )
