import { Badge as ChakraBadge, Spinner } from "@chakra-ui/react";
import type { ComponentProps, ReactNode } from "react";

import { COVERED, COVERED_AT_LENGTH, STATES, paletteOf, type CountyState } from "src/states";

type BadgeProps = Omit<ComponentProps<typeof ChakraBadge>, "colorPalette"> & {
  readonly palette: string;
  readonly children?: ReactNode;
};

export const Badge = ({ palette, ...rest }: BadgeProps) => (
  <ChakraBadge colorPalette={palette} size="sm" variant="subtle" whiteSpace="nowrap" {...rest} />
);

export const StateBadge = ({
  state,
  ...rest
}: { readonly state: CountyState } & Omit<BadgeProps, "palette">) => (
  <Badge palette={STATES[state].palette} {...rest}>
    <span aria-hidden>{STATES[state].sign}</span>
    {STATES[state].word}
  </Badge>
);

export const RunBadge = ({ palette, state }: { readonly state: string; readonly palette?: string }) => (
  <Badge palette={palette ?? paletteOf(state)}>{state}</Badge>
);

/** A certificate's state with what it covered. */
export const CertificateBadge = ({
  covered,
  state,
}: {
  readonly covered: string;
  readonly state: string;
}) => (
  <Badge palette={paletteOf(state)} title={`${state}: ${COVERED_AT_LENGTH[covered] ?? covered}`}>
    {state} · {COVERED[covered] ?? covered}
  </Badge>
);

export const Running = ({ children = "Running" }: { readonly children?: ReactNode }) => (
  <Badge palette="blue">
    <Spinner aria-hidden borderWidth="1.5px" css={{ height: "0.7em", width: "0.7em" }} size="xs" />
    {children}
  </Badge>
);
