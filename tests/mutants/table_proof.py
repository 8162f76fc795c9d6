"""Mutants of what a run proves later: the certificate's arithmetic, how it is stored, the audit chain."""

from __future__ import annotations

from tests.mutants.mutant import POSTGRES, SYNC, Mutant, of

CERTIFIER, AUDIT = f"{POSTGRES}certifier.py", f"{POSTGRES}audit.py"
RECORDS = f"{SYNC}records/certificates.py"
SUMS = "tests/unit/target/test_guard.py::test_a_row_in_no_term_is_drift"
CHAIN = "security_audit"

MUTANTS = (
    Mutant(
        "audit: the head is the one recorded",
        AUDIT,
        "if there > int(row[0]) or last is None or last.hash != row[1]:",
        "if last is None:",
        of(CHAIN, "test_a_row_that_was_edited_with_a_new_hash_is_named"),
    ),
    Mutant(
        "drift: missing",
        RECORDS,
        "self.missing + self.differing + self.extra_in_target",
        "self.differing + self.extra_in_target",
        of("mutant_guards_certificate", "test_every_term_is_in_the_drift"),
    ),
    Mutant(
        "drift: differing",
        RECORDS,
        "self.missing + self.differing + self.extra_in_target",
        "self.missing + self.extra_in_target",
        of("mutant_guards_certificate", "test_every_term_is_in_the_drift"),
    ),
    Mutant(
        "drift: extra",
        RECORDS,
        "self.missing + self.differing + self.extra_in_target",
        "self.missing + self.differing",
        of("mutant_guards_certificate", "test_every_term_is_in_the_drift"),
    ),
    Mutant(
        "drift: the remainder of the source",
        RECORDS,
        "+ abs(self.source_remainder)",
        "",
        f"{SUMS} {of('mutant_guards_certificate', 'test_every_term_is_in_the_drift')}",
    ),
    Mutant(
        "drift: the remainder of the target",
        RECORDS,
        "+ abs(self.target_remainder)",
        "",
        f"{SUMS} {of('mutant_guards_certificate', 'test_every_term_is_in_the_drift')}",
    ),
    Mutant(
        "drift: remainders do not cancel out",
        RECORDS,
        "+ abs(self.source_remainder) + abs(self.target_remainder)",
        "+ abs(self.source_remainder + self.target_remainder)",
        of("mutant_guards_certificate", "test_every_term_is_in_the_drift"),
    ),
    Mutant(
        "source remainder: quarantine is a term",
        RECORDS,
        "self.equal + self.quarantined + self.waiting + self.newer + self.missing + self.differing",
        "self.equal + self.waiting + self.newer + self.missing + self.differing",
        of("mutant_guards_certificate", "test_every_term_is_in_the_drift"),
    ),
    Mutant(
        "target remainder: pending is a term",
        RECORDS,
        "self.equal + self.kept + self.pending_deletes + self.extra_in_target",
        "self.equal + self.kept + self.extra_in_target",
        of("mutant_guards_certificate", "test_every_term_is_in_the_drift"),
    ),
    Mutant(
        "the worst entity speaks for the whole",
        RECORDS,
        '("blocked", "drift", "pending", "rolled_back", "clean")',
        '("clean", "blocked", "drift", "pending", "rolled_back")',
        "tests/unit/target/test_guard.py::test_a_certificate_is_clean_only_as_a_whole",
    ),
    Mutant(
        "children of the deleted are counted",
        CERTIFIER,
        "AS p WHERE p._deleted_at IS NOT NULL)",
        "AS p WHERE false)",
        of("relations", "test_children_of_a_deleted_parent_are_flagged"),
    ),
    Mutant(
        "the epoch fences the certificate",
        CERTIFIER,
        "run_records.fence(connection, run)",
        "pass",
        of("publish", "test_a_stale_run_cannot_certify"),
    ),
    Mutant(
        "a certificate is in the audit",
        CERTIFIER,
        '"run.certificate", covered,',
        '"run.note", covered,',
        of("mutant_guards_certificate", "test_a_certificate_is_in_the_audit_and_names_its_head"),
    ),
    Mutant(
        "a certificate names the head of the audit",
        CERTIFIER,
        'head = str(audit.head(connection, run.county_id) or "")',
        'head = ""',
        of("mutant_guards_certificate", "test_a_certificate_is_in_the_audit_and_names_its_head"),
    ),
    Mutant(
        "a window in a certificate makes it one of a window",
        CERTIFIER,
        '"window" if "window" in kinds or not kinds else "all_rows"',
        '"all_rows" if "all_rows" in kinds else "window"',
        of("mutant_guards_certificate", "test_a_certificate_covers_what_its_narrowest_entity_covers"),
    ),
    Mutant(
        "audit: a row says what was written",
        AUDIT,
        "WHERE position <> expected OR hash <> computed OR",
        "WHERE position <> expected OR",
        of(CHAIN, "test_the_first_row_that_was_touched_is_named"),
    ),
    Mutant(
        "audit: a row follows its predecessor",
        AUDIT,
        "OR previous <> prior OR seq <= prior_seq",
        "",
        of(
            CHAIN,
            "test_two_rows_that_changed_places_are_named",
            "test_a_row_that_was_edited_with_a_new_hash_is_named",
        ),
    ),
    Mutant(
        "audit: no row is missing",
        AUDIT,
        "WHERE position <> expected OR hash",
        "WHERE hash",
        of(
            CHAIN,
            "test_the_first_row_that_was_touched_is_named",
            "test_two_rows_that_changed_places_are_named",
        ),
    ),
    Mutant(
        "audit: rows cut off at the end",
        AUDIT,
        "if there < int(row[0]):",
        "if False:",
        of(CHAIN, "test_the_first_row_that_was_touched_is_named"),
    ),
    Mutant(
        "audit: a kept head betrays a chain made anew",
        AUDIT,
        "if row is not None and row[0] == known.hash:",
        "if row is not None:",
        of(CHAIN, "test_a_head_that_was_kept_outside_betrays_a_chain_made_anew"),
    ),
    Mutant(
        "audit: a kept head betrays a chain cut off",
        AUDIT,
        "if known.position > there:",
        "if False:",
        of(CHAIN, "test_a_tail_that_was_cut_off_with_its_head_is_betrayed_by_a_kept_head"),
    ),
    Mutant(
        "audit: what is hashed has every column",
        AUDIT,
        "'object', a.object, 'details', a.details)::text",
        "'object', a.object)::text",
        of(CHAIN, "test_an_intact_chain_is_intact"),
    ),
)
