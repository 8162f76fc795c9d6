"""Which operating system this is, as far as drivers and trusted certificates depend on it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_SYSTEMS = (
    ("suse", frozenset({"suse", "opensuse", "sles"})),
    ("alpine", frozenset({"alpine"})),
    ("rhel", frozenset({"rhel", "fedora", "centos", "amzn"})),
)
TRUST_COMMANDS: Mapping[str, str] = {
    "debian_ubuntu": "copy the CA's PEM file to /usr/local/share/ca-certificates/county-ca.crt, then run "
    "`sudo update-ca-certificates`",
    "alpine": "copy the CA's PEM file to /usr/local/share/ca-certificates/county-ca.crt, then run "
    "`update-ca-certificates`",
    "rhel": "copy the CA's PEM file to /etc/pki/ca-trust/source/anchors/, then run `sudo update-ca-trust`",
    "suse": "copy the CA's PEM file to /etc/pki/trust/anchors/, then run `sudo update-ca-certificates`",
    "macos": "run `sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain "
    "ca.pem`",
    "windows": "run `certutil -addstore Root ca.crt` as an administrator",
}


@cache
def system_name() -> str:
    """`debian_ubuntu`, `rhel`, `suse`, `alpine`, `macos` or `windows`."""
    if platform.system() != "Linux":
        return "macos" if platform.system() == "Darwin" else "windows"
    release = Path("/etc/os-release")
    return system_of(release.read_text(encoding="utf-8") if release.exists() else "")


def system_of(release: str) -> str:
    """The same for a Linux, from its os-release."""
    fields = dict(line.partition("=")[::2] for line in release.splitlines())
    like = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return next((name for name, names in _SYSTEMS if names & set(like)), "debian_ubuntu")


def trust_a_ca(system: str | None = None) -> str:
    """What makes this system trust a CA, for whoever reads an error."""
    command = TRUST_COMMANDS[system or system_name()]
    return (
        f"Trust the CA that signed the server's certificate here: {command}; or set "
        "SSL_CERT_FILE to a PEM file with it in the environment of the scheduler and the workers."
    )
