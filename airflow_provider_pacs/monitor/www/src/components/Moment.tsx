import { createContext, useContext } from "react";

import { ago, exact } from "src/format";
import { Muted } from "./Layout";

/** The zone in which a county's times are shown; the viewer's own where there is none. */
export const Zone = createContext<string | undefined>(undefined);

type MomentProps = { readonly at: string | null | undefined; readonly none?: string };

function inBothZones(at: string, zone: string | undefined): string {
  return zone ? `${exact(at, zone)} in the county, ${exact(at)} here` : exact(at);
}

/** A moment as seen from now; the clocks of the county and of the viewer are in its title. */
export const Moment = ({ at, none = "–" }: MomentProps) => {
  const zone = useContext(Zone);
  return at ? (
    <time dateTime={at} style={{ whiteSpace: "nowrap" }} title={inBothZones(at, zone)}>
      {ago(at)}
    </time>
  ) : (
    <Muted>{none}</Muted>
  );
};

/** A moment on the county's clock; the viewer's is in its title. */
export const Clock = ({ at, none = "–" }: MomentProps) => {
  const zone = useContext(Zone);
  return at ? (
    <time dateTime={at} style={{ whiteSpace: "nowrap" }} title={`${exact(at)} here`}>
      {exact(at, zone)}
    </time>
  ) : (
    <Muted>{none}</Muted>
  );
};
