import { Flex, HStack, Stack, Text } from "@chakra-ui/react";

import type { ReactNode } from "react";

import { api } from "src/api/client";
import { Running, StateBadge } from "src/components/Badges";
import { Card, To, Waiting } from "src/components/Layout";
import { number } from "src/format";
import { PAGE_PATH, countyPath } from "src/paths";
import { URGENCY } from "src/states";

export const DashboardCard = () => {
  const { data, error } = api.useQuery("get", "/api/summary", {}, { refetchInterval: 15_000 });
  return (
    <Card aside={<To to={PAGE_PATH}>All counties</To>} my={2} title="PACS Sync">
      {data ? (
        <Stack gap={3} p={4}>
          <Flex gap={6} wrap="wrap">
            {URGENCY.filter((state) => data.totals[state]).map((state) => (
              <To color="fg" key={state} to={`${PAGE_PATH}?state=${state}`}>
                <Figure count={data.totals[state] ?? 0}>
                  <StateBadge state={state} />
                </Figure>
              </To>
            ))}
            {data.running > 0 ? (
              <Figure count={data.running}>
                <Running />
              </Figure>
            ) : null}
          </Flex>
          {data.attention.map((line) => (
            <HStack fontSize="sm" gap={2} key={line.county} minW={0}>
              <StateBadge state={line.state} />
              <To flexShrink={0} to={line.fips ? countyPath(line.county) : `${PAGE_PATH}?state=broken`}>
                {line.name}
              </To>
              <Text color="fg.muted" title={line.cause} truncate>
                {line.cause}
              </Text>
            </HStack>
          ))}
        </Stack>
      ) : (
        <Waiting error={error} />
      )}
    </Card>
  );
};

const Figure = ({ children, count }: { readonly children: ReactNode; readonly count: number }) => (
  <HStack gap={2}>
    <Text fontSize="xl" fontWeight="semibold">
      {number(count)}
    </Text>
    {children}
  </HStack>
);
