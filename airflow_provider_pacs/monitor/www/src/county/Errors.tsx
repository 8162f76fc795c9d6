import { HStack, Stack, Text } from "@chakra-ui/react";

import { api, type Schemas } from "src/api/client";
import { Badge } from "src/components/Badges";
import { Grid, type Column } from "src/components/Grid";
import { Card, Empty, Muted, NotFresh, To, Waiting } from "src/components/Layout";
import { Clock, Moment } from "src/components/Moment";
import { exact, plural } from "src/format";

type Failure = Schemas["FailureLine"];

export const Errors = ({ county }: { readonly county: string }) => {
  const { data, error } = api.useQuery(
    "get",
    "/api/counties/{county}/evidence",
    { params: { path: { county }, query: { limit: 60 } } },
    { refetchInterval: 15_000 },
  );
  if (!data) return <Waiting error={error} />;
  if (data.errors.length === 0) {
    return (
      <Card title="Errors">
        <Empty>No failure has been recorded.</Empty>
      </Card>
    );
  }
  return (
    <Stack gap={4}>
      <NotFresh error={error} />
      {data.errors.map((group) => (
        <Card
          aside={
            <HStack gap={2}>
              <Badge palette="red">{group.code}</Badge>
              {plural(group.count, "time")}, last <Moment at={group.newest.at} />
            </HStack>
          }
          key={group.code}
          title={`${group.error_class}: ${group.meaning}`}
        >
          <Stack fontSize="sm" gap={1} px={4} py={3}>
            <Text overflowWrap="anywhere">{group.newest.message}</Text>
            <Text>
              <strong>What to do: </strong>
              {group.remedy}
            </Text>
            {group.newest.airflow_path ? (
              <To to={group.newest.airflow_path}>Log of {group.newest.step}</To>
            ) : null}
          </Stack>
        </Card>
      ))}
      <Card title="Newest failures">
        <Grid
          columns={FAILURES}
          label="Newest failures"
          rowKey={(failure) => String(failure.seq)}
          rows={data.failures}
        />
      </Card>
    </Stack>
  );
};

const FAILURES: readonly Column<Failure>[] = [
  { key: "at", label: "When", cell: (failure) => <Clock at={failure.at} /> },
  { key: "step", label: "Step", cell: (failure) => failure.step },
  { key: "code", label: "Code", cell: (failure) => <Badge palette="red">{failure.code}</Badge> },
  {
    key: "message",
    label: "Message",
    cell: (failure) => (
      <Text maxW="36rem" overflowWrap="anywhere">
        {failure.message}
      </Text>
    ),
  },
  {
    key: "log",
    label: "Log",
    cell: (failure) =>
      failure.airflow_path ? (
        <To aria-label={`Log of ${failure.step}, ${exact(failure.at)}`} to={failure.airflow_path}>
          Log
        </To>
      ) : (
        <Muted />
      ),
  },
];
