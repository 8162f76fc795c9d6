// The component that Airflow's UI loads for the page, for the tab on a DAG and for the dashboard's card: it looks where it stands.

import { County, NoCounty } from "./county.js";
import { DashboardCard, Overview } from "./overview.js";
import { C, Router, h } from "./parts.js";

const OF_A_COUNTY = /^pacs_([a-z][a-z0-9_]*?)(_reconcile|_approvals|_realtime|_writeback)?$/;

function PacsSync({ dagId }) {
  const { pathname } = Router.useLocation();
  if (dagId !== undefined) {
    const county = OF_A_COUNTY.exec(dagId)?.[1];
    return h(C.Box, { p: 3, overflowY: "auto", h: "full" }, county ? h(County, { county, key: county, inDag: true }) : h(NoCounty));
  }
  const page = /\/plugin\/pacs-sync(?:\/([a-z0-9_]+))?\/?$/.exec(pathname);
  if (!page) return h(DashboardCard);
  return h(C.Box, { p: 4, pb: 10, maxW: "110rem", mx: "auto", w: "full" }, page[1] ? h(County, { county: page[1], key: page[1] }) : h(Overview));
}

globalThis["PACS Sync"] = PacsSync;
