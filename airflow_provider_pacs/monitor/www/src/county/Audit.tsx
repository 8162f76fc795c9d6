import { Button, HStack, Stack, Text } from "@chakra-ui/react";
import { useState } from "react";

import { api, type Schemas } from "src/api/client";
import { Grid, type Column } from "src/components/Grid";
import { Card, NotFresh, Waiting } from "src/components/Layout";
import { Clock } from "src/components/Moment";

type Row = Schemas["AuditRow"];

const PAGE = 50;

/** Who did what, when; the raw record on demand. */
export const Audit = ({ county }: { readonly county: string }) => {
  const [before, setBefore] = useState<readonly number[]>([]);
  const { data, error } = api.useQuery(
    "get",
    "/api/counties/{county}/audit",
    { params: { path: { county }, query: { before: before.at(-1), limit: PAGE } } },
    { refetchInterval: before.length > 0 ? false : 15_000 },
  );
  if (!data) return <Waiting error={error} />;
  const last = data.at(-1);
  return (
    <Stack gap={4}>
      <NotFresh error={error} />
      <Card
        aside={
          <HStack gap={1}>
            <Button
              disabled={before.length === 0}
              onClick={() => setBefore(before.slice(0, -1))}
              size="xs"
              variant="outline"
            >
              Newer
            </Button>
            <Button
              disabled={!last || data.length < PAGE}
              onClick={() => last && setBefore([...before, last.seq])}
              size="xs"
              variant="outline"
            >
              Older
            </Button>
          </HStack>
        }
        title="Audit trail"
      >
        <Grid
          columns={COLUMNS}
          label="Audit trail"
          none="Nothing has been recorded."
          rowKey={(row) => String(row.seq)}
          rows={data}
        />
      </Card>
    </Stack>
  );
};

/** The plain entries of a record as words; what is nested is in the raw record. */
function inWords(details: Row["details"]): string {
  return Object.entries(details)
    .filter(([, value]) => ["boolean", "number", "string"].includes(typeof value) && value !== "")
    .map(([key, value]) => `${key.replaceAll("_", " ")}: ${String(value)}`)
    .join(" · ");
}

const Details = ({ row }: { readonly row: Row }) => (
  <Stack fontSize="xs" gap={1} maxW="44rem">
    <Text overflowWrap="anywhere">{inWords(row.details)}</Text>
    {Object.keys(row.details).length > 0 ? (
      <details>
        <summary>Raw record</summary>
        <Text as="pre" overflowWrap="anywhere" whiteSpace="pre-wrap">
          {JSON.stringify(row.details, null, 2)}
        </Text>
      </details>
    ) : null}
  </Stack>
);

const COLUMNS: readonly Column<Row>[] = [
  { key: "at", label: "When", cell: (row) => <Clock at={row.at} /> },
  { key: "actor", label: "Who", cell: (row) => row.actor },
  { key: "action", label: "What", cell: (row) => <Text fontWeight="medium">{row.action}</Text> },
  { key: "object", label: "On", cell: (row) => row.object },
  { key: "details", label: "Details", cell: (row) => <Details row={row} /> },
];
