"""A county on hold and its resumption: while it is held no run of it is planned or published."""

from __future__ import annotations

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.records import Hold, RunKind
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.port import Target

LONGEST_REASON = 500
"""Characters of a reason."""


def hold(config: CountyConfig, target: Target, *, reason: str, actor: str) -> Hold:
    """Put the county on hold: a run at work ends without publishing, and no other begins.

    A county that is on hold already stays so, with its first reason.

    Args:
        config: the county.
        target: an open target.
        reason: why, for everybody who meets the hold; 1 to 500 characters.
        actor: who decides.

    Raises:
        ConfigError: the reason is empty or too long.
    """
    if not 1 <= len(reason.strip()) <= LONGEST_REASON:
        raise ConfigError(
            f"{config.county}: a hold needs a reason of 1 to {LONGEST_REASON} characters",
            remedy='say why: --reason "wrong mapping of 12 March, ticket 4711"',
        )
    target.migrate()
    return target.holds.place(config.fips, reason.strip(), actor)


def resume(config: CountyConfig, target: Target, *, actor: str) -> Hold:
    """Lift the county's hold.

    Raises:
        ConflictError: the county is not on hold.
    """
    target.migrate()
    return target.holds.lift(config.fips, actor)


def refuse_held(config: CountyConfig, target: Target, kind: RunKind) -> None:
    """Let no run but a rollback begin in a county on hold.

    Raises:
        ConflictError: PACS-011, the county is on hold.
    """
    standing = target.holds.current(config.fips) if kind != "rollback" else None
    if standing is not None:
        raise standing.refusal(config.county)
