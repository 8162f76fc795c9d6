export const PAGE_PATH = "/plugin/pacs-sync";

export const countyPath = (county: string, tab?: string): string =>
  `${PAGE_PATH}/${county}${tab ? `?tab=${tab}` : ""}`;
