// The component that Airflow's UI loads for the page, for the tab on a DAG and for the dashboard's card: it looks where it stands.
import { Box } from "@chakra-ui/react";
import { QueryClientProvider } from "@tanstack/react-query";
import { useLocation } from "react-router-dom";

import { queryClient } from "./api/client";
import { Empty } from "./components/Layout";
import { County } from "./pages/County";
import { DashboardCard } from "./pages/DashboardCard";
import { Overview } from "./pages/Overview";

const OF_A_COUNTY = /^pacs_([a-z][a-z0-9_]*?)(_reconcile|_approvals|_realtime|_writeback)?$/;
const PAGE = /\/plugin\/pacs-sync(?:\/([a-z0-9_]+))?\/?$/;

const Place = ({ dagId }: { readonly dagId?: string }) => {
  const { pathname } = useLocation();
  if (dagId !== undefined) {
    const county = OF_A_COUNTY.exec(dagId)?.[1];
    return (
      <Box data-plugin="pacs-sync" h="full" overflowY="auto" p={3}>
        {county ? (
          <County county={county} inDag key={county} />
        ) : (
          <Empty>This DAG does not belong to a county.</Empty>
        )}
      </Box>
    );
  }
  const page = PAGE.exec(pathname);
  if (!page) return <DashboardCard />;
  const county = page[1];
  return (
    <Box data-plugin="pacs-sync" maxW="110rem" mx="auto" p={{ base: 2, md: 4 }} pb={10} w="full">
      {county ? <County county={county} key={county} /> : <Overview />}
    </Box>
  );
};

const PacsSync = ({ dagId }: { readonly dagId?: string }) => (
  <QueryClientProvider client={queryClient}>
    <Place dagId={dagId} />
  </QueryClientProvider>
);

// Airflow looks for a plugin's component under the name of its entry in `react_apps`.
Reflect.set(globalThis, "PACS Sync", PacsSync);
