"""libpq parameters -> the same with TLS verified, and what of it somebody weakened by name.

`verify-full` is the default for every target that is not a local socket, whatever the environment says:
libpq's own default sends the password to whoever answers. The CAs are those of `sslrootcert`, else of libpq's
usual places, else the system's.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_pacs.sync.runtime.errors import ConfigError

VERIFIED = "verify-full"
_WHY = {
    "disable": "nothing is encrypted: the password and every row can be read on the way",
    "allow": "TLS only if the server insists: whoever is in between can switch it off",
    "prefer": "TLS only if the server offers it: whoever is in between can switch it off",
    "require": "the server's certificate is not checked: anybody may answer as the target",
    "verify-ca": "the server's name is not checked: any server with a certificate of this CA may answer",
}
_OLD_PROTOCOLS = frozenset({"TLSv1", "TLSv1.1"})
_SYSTEM_CAS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class WeakSetting:
    """A setting that somebody named and that is weaker than the default."""

    name: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}: {self.why}"


def is_local(params: Mapping[str, str]) -> bool:
    """Whether every host is a directory with a socket (or none is named, and libpq uses its own).

    `hostaddr`, a service or PGHOST may name a network: they are taken for one.
    """
    if any(
        params.get(n) or os.environ.get(v) for n, v in (("hostaddr", "PGHOSTADDR"), ("service", "PGSERVICE"))
    ):
        return False
    host = params.get("host") or os.environ.get("PGHOST", "")
    return all(part.startswith(("/", "@")) for part in host.split(",") if part)


def secured(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters with `sslmode` and, where it is needed, the system's CAs filled in; what somebody named
    stays.
    """
    stated = dict(params)
    if is_local(stated):
        return stated
    stated.setdefault("sslmode", VERIFIED)
    if stated["sslmode"] == VERIFIED and not _names_a_ca(stated):
        stated["sslrootcert"] = system_cas()
    return stated


def _names_a_ca(params: Mapping[str, str]) -> bool:
    return (
        "sslrootcert" in params
        or bool(os.environ.get("PGSSLROOTCERT"))
        or Path("~/.postgresql/root.crt").expanduser().is_file()
    )


def system_cas() -> str:
    """The file with the system's CAs, else libpq's word for OpenSSL's own place."""
    places = (os.environ.get("SSL_CERT_FILE", ""), ssl.get_default_verify_paths().cafile or "", *_SYSTEM_CAS)
    return next((place for place in places if place and Path(place).is_file()), "system")


def weak_settings(params: Mapping[str, str]) -> tuple[WeakSetting, ...]:
    """What is weaker than the default, in a target that a network lies before; empty for sockets."""
    if is_local(params):
        return ()
    weak = []
    mode = params.get("sslmode", VERIFIED)
    if mode in _WHY:
        weak.append(WeakSetting("sslmode", mode, _WHY[mode]))
    protocol = params.get("ssl_min_protocol_version") or os.environ.get("PGSSLMINPROTOCOLVERSION", "")
    if protocol in _OLD_PROTOCOLS:
        weak.append(
            WeakSetting("ssl_min_protocol_version", protocol, "protocols with known attacks are accepted")
        )
    return tuple(weak)


def refuse_weak(params: Mapping[str, str], policy: str, *, county: str = "") -> tuple[WeakSetting, ...]:
    """What is weak, to be reported and audited in every run; nothing of it passes under `strict`. Called
    before anything is sent.

    Raises:
        ConfigError: the county's file says `target.tls: strict` and a setting is weaker than that.
    """
    weak = weak_settings(params)
    if weak and policy == "strict":
        raise ConfigError(
            f"{f'{county}: ' if county else ''}target.tls is strict, but the target's connection says "
            f"{in_words(weak)}",
            remedy="remove the setting from the connection, and name the CA with sslrootcert if it is not "
            "one of the system's",
        )
    return weak


def refuse_engines(params: Mapping[str, str]) -> None:
    """Refuse a client key `engine:id`: OpenSSL would load the engine, any library on this machine, into the
    process (case E3 at the target).

    Raises:
        ConfigError: the connection's `sslkey` is no plain file. Its text is not repeated.
    """
    if ":" in params.get("sslkey", ""):
        raise ConfigError(
            "the target's sslkey names an OpenSSL engine, which is code that would be loaded",
            remedy="name the file of the client's key, without a colon in its path",
        )


def in_words(weak: Sequence[WeakSetting]) -> str:
    """`sslmode=require (why)`, one after the other."""
    return "; ".join(str(setting) for setting in weak)
