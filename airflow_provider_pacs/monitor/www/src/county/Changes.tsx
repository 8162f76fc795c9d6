import { HStack, Stack, Text } from "@chakra-ui/react";

import type { Schemas } from "src/api/client";
import { Badge } from "src/components/Badges";
import { Grid, type Column } from "src/components/Grid";
import { Card, Mono, Muted } from "src/components/Layout";
import { Moment } from "src/components/Moment";

type Line = Schemas["SchemaLine"];

const STRATEGIES: Record<string, string> = {
  compare: "by comparing",
  joined: "by row versions of the joined tables",
  last_modified: "by change stamp",
  rowversion: "by row version",
};

/** How the changes of each table are found, and the state of the source's schema. */
export const Changes = ({ changes }: { readonly changes: readonly Line[] }) => (
  <Card title="How changes are found">
    <Grid
      columns={CHANGES}
      label="Change detection by table"
      none="No run has been planned yet."
      rowKey={(line) => line.entity}
      rows={changes}
    />
  </Card>
);

const CHANGES: readonly Column<Line>[] = [
  { key: "entity", label: "Entity", cell: (line) => <Text fontWeight="medium">{line.entity}</Text> },
  {
    key: "strategy",
    label: "Changes are found",
    cell: (line) => STRATEGIES[line.strategy] ?? line.strategy.replaceAll("_", " "),
  },
  { key: "mode", label: "Last read", cell: (line) => line.mode ?? "–" },
  { key: "reason", label: "Because", cell: (line) => <Text maxW="26rem">{line.reason}</Text> },
  {
    key: "watermark",
    label: "Read up to",
    cell: (line) =>
      line.watermark ? (
        <Stack gap={0}>
          <Mono max="30ch">{line.watermark}</Mono>
          <Text color="fg.muted" fontSize="xs">
            {line.watermark_type}
          </Text>
        </Stack>
      ) : (
        <Muted />
      ),
  },
  { key: "stored", label: "Stored", cell: (line) => <Moment at={line.stored_at} /> },
  {
    key: "schema",
    label: "Source schema",
    cell: (line) => (
      <HStack gap={2}>
        {line.changed_since_cursor ? (
          <Badge palette="orange">changed: next read is full</Badge>
        ) : (
          <Badge palette="green">as agreed</Badge>
        )}
        <Mono max="10ch">{line.schema_fingerprint}</Mono>
      </HStack>
    ),
  },
];
