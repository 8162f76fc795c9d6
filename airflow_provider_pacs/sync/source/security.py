"""Settings of a connection that protect it less than they could: named one by one, for warnings, audit and
refusal.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.port import ConnectionFacts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WeakSetting:
    """One such setting.

    Attributes:
        name: the option, as a connection's extra has it.
        value: what it is set to.
        consequence: what anybody between could do.
        remedy: what to set instead.
    """

    name: str
    value: str
    consequence: str
    remedy: str

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.name}={self.value}: {self.consequence}"


def weak_settings(facts: ConnectionFacts) -> tuple[WeakSetting, ...]:
    """The weak settings of a reader's connection."""
    weak = []
    if facts.encrypt == "no":
        weak.append(
            WeakSetting(
                "encrypt",
                "no",
                "rows travel in plain text, anybody between can read and change them",
                "Set encrypt=yes in the source's connection.",
            )
        )
    if facts.any_certificate:
        weak.append(
            WeakSetting(
                "trust_server_certificate",
                "yes",
                "any certificate is taken, so anybody between can pose as the server",
                "Trust the CA of the server's certificate here, and drop trust_server_certificate.",
            )
        )
    return tuple(weak)


def check_weak_settings(county: str, facts: ConnectionFacts, *, strict: bool) -> tuple[WeakSetting, ...]:
    """Say each weak setting in the log of every run.

    Args:
        county: named in the messages.
        facts: of the reader.
        strict: the county's file refuses weak settings.

    Returns:
        The settings, for the run's audit.

    Raises:
        ConfigError: there is one, and the county is strict.
    """
    weak = weak_settings(facts)
    if weak and strict:
        raise ConfigError(
            f"{county}: the source's connection is weaker than the county's file allows: "
            f"{'; '.join(setting.text for setting in weak)}",
            remedy=" ".join(setting.remedy for setting in weak),
        )
    for setting in weak:
        log.warning("%s: the source's connection is weak: %s. %s", county, setting.text, setting.remedy)
    return weak
