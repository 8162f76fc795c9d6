import type { Schemas } from "src/api/client";
import { plural } from "src/format";
import { Badge } from "./Badges";
import { Muted } from "./Layout";

/** What the quality rules said last. */
export const RulesBadge = ({ line }: { readonly line: Schemas["CountyLine"] }) => {
  if (!line.rules) return <Muted />;
  if (line.rules_broken) return <Badge palette="red">{plural(line.rules_broken, "rule")} broken</Badge>;
  if (line.rules_warned) return <Badge palette="yellow">{plural(line.rules_warned, "warning")}</Badge>;
  return <Badge palette="green">{line.rules} hold</Badge>;
};
