"""What makes each system trust a county's own CA."""

from __future__ import annotations

import pytest

from airflow_provider_pacs.sync.source.errors import CERTIFICATES
from airflow_provider_pacs.sync.source.systems import system_of, trust_a_ca


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian\n", "update-ca-certificates"),
        ("ID=ubuntu\nID_LIKE=debian\n", "/usr/local/share/ca-certificates/"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "update-ca-trust"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "/etc/pki/trust/anchors/"),
        ("ID=alpine\n", "update-ca-certificates"),
        ("", "update-ca-certificates"),
    ],
)
def test_the_remedy_names_the_command_of_the_system(release: str, command: str) -> None:
    """Case F5: "trust the CA" is no help to somebody who never did."""
    assert command in trust_a_ca(system_of(release))
    assert "SSL_CERT_FILE" in trust_a_ca(system_of(release))


def test_an_untrusted_certificate_is_answered_with_it() -> None:
    """Case F5."""
    assert trust_a_ca() in dict(CERTIFICATES).values()
    assert "keychain" in trust_a_ca("macos").lower()
    assert "certutil" in trust_a_ca("windows")
