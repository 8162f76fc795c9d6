import { Box, Button, HStack, Stack, Text } from "@chakra-ui/react";
import { useContext, useState, type ReactNode } from "react";

import { api, type Schemas } from "src/api/client";
import { Badge, CertificateBadge } from "src/components/Badges";
import { Grid, type Column } from "src/components/Grid";
import { Keys } from "src/components/Keys";
import { Card, Empty, Save, Waiting } from "src/components/Layout";
import { Zone } from "src/components/Moment";
import { exact, number } from "src/format";

type Group = Schemas["CertificateGroup"];
type Line = Schemas["CertificateLine"];
type Total = Schemas["ControlTotal"] & { readonly entity: string };
type Term = readonly [key: string, label: string, value: (line: Line) => number | null, isDrift?: boolean];

export const Certificates = ({ county }: { readonly county: string }) => {
  const { data, error } = api.useQuery(
    "get",
    "/api/counties/{county}/evidence",
    { params: { path: { county }, query: { limit: 60 } } },
    { refetchInterval: 30_000 },
  );
  if (!data) return <Waiting error={error} />;
  if (data.certificates.length === 0) {
    return (
      <Card title="Certificates">
        <Empty>No certificate yet.</Empty>
      </Card>
    );
  }
  return (
    <Stack gap={4}>
      {data.certificates.map((certificate, index) => (
        <Certificate
          certificate={certificate}
          county={county}
          isFirst={index === 0}
          key={certificate.run_id}
        />
      ))}
    </Stack>
  );
};

type CertificateProps = {
  readonly county: string;
  readonly certificate: Group;
  readonly isFirst: boolean;
};

/** One run's certificate: what it covered, the arithmetic of both sides, control totals, what it stands on. */
const Certificate = ({ certificate, county, isFirst }: CertificateProps) => {
  const zone = useContext(Zone);
  const [open, setOpen] = useState(isFirst);
  const { entities } = certificate;
  const title = `Certificate of a ${certificate.kind}, ${exact(certificate.issued_at, zone)}`;
  const totals = entities.flatMap((line) => line.control.map((total) => ({ ...total, entity: line.entity })));
  return (
    <Card
      aside={
        <HStack gap={3}>
          <CertificateBadge covered={certificate.covered} state={certificate.state} />
          <Save
            aria-label={`Save the ${title.toLowerCase()}`}
            path={`/api/counties/${county}/runs/${certificate.run_id}/certificate`}
          >
            Save
          </Save>
          <Button
            aria-expanded={open}
            aria-label={`${open ? "Less" : "More"} of the ${title.toLowerCase()}`}
            onClick={() => setOpen(!open)}
            size="xs"
            variant="outline"
          >
            {open ? "Less" : "More"}
          </Button>
        </HStack>
      }
      title={title}
    >
      <Grid
        columns={BY_ENTITY}
        label="Certificate by entity"
        rowKey={(line) => line.entity}
        rows={entities}
      />
      {open ? (
        <Stack gap={4} pt={2}>
          <Section title="Every source row, once">
            <Grid
              columns={terms(SOURCE_TERMS)}
              label="Source rows"
              rowKey={(line) => line.entity}
              rows={entities}
            />
          </Section>
          <Section title="Every live target row, once">
            <Grid
              columns={terms(TARGET_TERMS)}
              label="Target rows"
              rowKey={(line) => line.entity}
              rows={entities}
            />
          </Section>
          {totals.length > 0 ? (
            <Section title="Control totals">
              <Grid
                columns={TOTALS}
                label="Control totals"
                rowKey={(total) => `${total.entity} ${total.group} ${total.column}`}
                rows={totals}
              />
            </Section>
          ) : null}
          <Text color="fg.muted" fontSize="xs" overflowWrap="anywhere" pb={3} px={4}>
            Run {certificate.run_id} · source clock {certificate.source_now ?? "unknown"} · code{" "}
            {certificate.code_version} · mapping version {certificate.mapping_version} · head of the audit
            chain {certificate.audit_head || "none"}
          </Text>
        </Stack>
      ) : null}
    </Card>
  );
};

const Section = ({ children, title }: { readonly title: string; readonly children: ReactNode }) => (
  <Box>
    <Text color="fg.muted" fontSize="xs" pb={1} px={4}>
      {title}
    </Text>
    {children}
  </Box>
);

/** The terms of one side, as columns: equal signs and pluses are part of their names. */
const terms = (side: readonly Term[]): readonly Column<Line>[] => [
  { key: "entity", label: "Entity", cell: (line) => line.entity },
  ...side.map(([key, label, value, isDrift]): Column<Line> => ({
    key,
    label,
    number: true,
    cell: (line) => (
      <Text
        as="span"
        color={isDrift && value(line) ? "red.fg" : undefined}
        fontWeight={isDrift && value(line) ? "semibold" : undefined}
      >
        {number(value(line))}
      </Text>
    ),
  })),
];

const SOURCE_TERMS: readonly Term[] = [
  ["source_rows", "source rows", (line) => line.source_rows],
  ["equal", "= equal", (line) => line.equal],
  ["quarantined", "+ quarantined", (line) => line.quarantined],
  ["waiting", "+ waiting for a parent", (line) => line.waiting],
  ["newer", "+ newer", (line) => line.newer],
  ["missing", "+ missing", (line) => line.missing, true],
  ["differing", "+ differing", (line) => line.differing, true],
];

const TARGET_TERMS: readonly Term[] = [
  ["target_rows", "target rows", (line) => line.target_rows],
  ["equal", "= equal", (line) => line.equal],
  ["kept", "+ kept", (line) => line.kept],
  ["pending_deletes", "+ pending deletes", (line) => line.pending_deletes],
  ["extra_in_target", "+ extra in target", (line) => line.extra_in_target, true],
  ["differing", "+ differing", (line) => line.differing, true],
];

const BY_ENTITY: readonly Column<Line>[] = [
  { key: "entity", label: "Entity", cell: (line) => <Text fontWeight="medium">{line.entity}</Text> },
  {
    key: "state",
    label: "State",
    cell: (line) => <CertificateBadge covered={line.covered} state={line.state} />,
  },
  { key: "compared", label: "Rows compared", number: true, cell: (line) => number(line.compared) },
  { key: "drift", label: "Drift", number: true, cell: (line) => number(line.drift_rows) },
  {
    key: "bounds",
    label: "Positions at the source",
    cell: (line) => (
      <Text fontSize="xs">
        {line.lower ?? "the beginning"} to {line.upper ?? "now"}
      </Text>
    ),
  },
  {
    key: "method",
    label: "Method",
    cell: (line) => (
      <Text fontSize="xs" maxW="20rem">
        {line.method}
      </Text>
    ),
  },
  {
    key: "message",
    label: "Message",
    cell: (line) => (
      <Text fontSize="sm" maxW="22rem" overflowWrap="anywhere">
        {line.message}
      </Text>
    ),
  },
  { key: "keys", label: "Differing keys", cell: (line) => <Keys keys={line.sample_keys} /> },
];

const TOTALS: readonly Column<Total>[] = [
  { key: "entity", label: "Entity", cell: (total) => total.entity },
  {
    key: "column",
    label: "Sum of",
    cell: (total) => [total.group, total.column].filter(Boolean).join(" "),
  },
  { key: "source", label: "SQL Server", number: true, cell: (total) => total.source ?? "–" },
  { key: "target", label: "PostgreSQL", number: true, cell: (total) => total.target ?? "–" },
  {
    key: "same",
    label: "Difference",
    cell: (total) =>
      total.source === total.target ? (
        <Badge palette="green">none</Badge>
      ) : (
        <Badge palette="gray">see the terms</Badge>
      ),
  },
];
