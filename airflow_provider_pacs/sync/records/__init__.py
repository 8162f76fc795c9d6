"""The typed records that cross a boundary: what a run plans, what the journal holds, what came of it.

They are frozen, hold counts and keys but never rows, and are read from PostgreSQL with psycopg's `class_row`.
XCom, the command line and the page derive from them.
"""

from airflow_provider_pacs.sync.records.approvals import (
    Decision,
    DeleteBounds,
    PendingDeletes,
)
from airflow_provider_pacs.sync.records.certificates import (
    RUN_STATE_OF,
    Certificate,
    CertificateState,
    EntityCertificate,
    SourceCensus,
    worst_state,
)
from airflow_provider_pacs.sync.records.comparisons import (
    Comparison,
    KeyDifference,
    KeyTotals,
    RowDifference,
)
from airflow_provider_pacs.sync.records.holds import Hold
from airflow_provider_pacs.sync.records.plans import (
    BACKFILL,
    MAPPING_VERSION,
    Backfill,
    Coverage,
    Difference,
    EntityState,
    Mode,
    ReadPlan,
    RollbackScope,
    RunKind,
    RunPlan,
    RunRequest,
    RunState,
    SourceMoment,
)
from airflow_provider_pacs.sync.records.rollbacks import (
    EntityRollback,
    RollbackConflict,
    RollbackProposal,
    RowChange,
    UndoneRun,
)
from airflow_provider_pacs.sync.records.runs import (
    AuditRow,
    Cursor,
    EntityOutcome,
    EntityRun,
    OrphanedRow,
    QuarantinedRow,
    RowCounts,
    RunOutcome,
    RunRecord,
    entity_outcome,
)
from airflow_provider_pacs.sync.records.turns import Turn

__all__ = [
    "BACKFILL",
    "MAPPING_VERSION",
    "RUN_STATE_OF",
    "AuditRow",
    "Backfill",
    "Certificate",
    "CertificateState",
    "Comparison",
    "Coverage",
    "Cursor",
    "Decision",
    "DeleteBounds",
    "Difference",
    "EntityCertificate",
    "EntityOutcome",
    "EntityRollback",
    "EntityRun",
    "EntityState",
    "Hold",
    "KeyDifference",
    "KeyTotals",
    "Mode",
    "OrphanedRow",
    "PendingDeletes",
    "QuarantinedRow",
    "ReadPlan",
    "RollbackConflict",
    "RollbackProposal",
    "RollbackScope",
    "RowChange",
    "RowCounts",
    "RowDifference",
    "RunKind",
    "RunOutcome",
    "RunPlan",
    "RunRecord",
    "RunRequest",
    "RunState",
    "SourceCensus",
    "SourceMoment",
    "Turn",
    "UndoneRun",
    "entity_outcome",
    "worst_state",
]
