import { Box, Flex, Text } from "@chakra-ui/react";

import type { Schemas } from "src/api/client";
import { Badge } from "./Badges";
import { Moment } from "./Moment";
import { STEP_LOOK, STEP_NAMES, type Step } from "src/steps";

type Tried = Pick<Step, "attempt" | "most_tries" | "next_try_at">;

const isPast = (at: string): boolean => new Date(at).getTime() <= Date.now();

/** `try 3 of 4, next in 40 s`; nothing where there is nothing to say about tries. */
export const Tries = ({ of }: { readonly of: Tried }) =>
  of.attempt && of.most_tries ? (
    <Text as="span" color="fg.muted" fontSize="xs" whiteSpace="nowrap">
      try {of.attempt} of {of.most_tries}
      {of.next_try_at ? (
        <>, next {isPast(of.next_try_at) ? "is due" : <Moment at={of.next_try_at} />}</>
      ) : null}
    </Text>
  ) : null;

/** One step of one entity. */
export const StepBadge = ({ step }: { readonly step: Step }) => {
  const { palette, sign } = STEP_LOOK[step.state];
  return (
    <Flex align="start" direction="column" gap={0.5}>
      <Badge data-state={step.state} palette={palette}>
        <span aria-hidden>{sign}</span>
        {step.text}
      </Badge>
      <Tries of={step} />
    </Flex>
  );
};

type FlowProps = {
  readonly source: string;
  readonly target: string;
  readonly ends: readonly Schemas["End"][];
  readonly steps: readonly Step[];
  /** What is said below a step beside its state. */
  readonly notes?: Partial<Record<Step["step"], string>>;
};

/** The way of the rows from PACS to PostgreSQL: each step in the colour of its own state. */
export const StepFlow = ({ ends, notes = {}, source, steps, target }: FlowProps) => (
  <Flex
    align="stretch"
    aria-label="Data flow"
    as="ol"
    direction={{ base: "column", lg: "row" }}
    gap={{ base: 2, lg: 0 }}
    listStyleType="none"
    p={4}
  >
    <EndStop end={ends[0]} name="PACS" place={source} />
    {steps.map((step) => (
      <Stop
        key={step.step}
        note={notes[step.step]}
        palette={STEP_LOOK[step.state].palette}
        sign={STEP_LOOK[step.state].sign}
        state={step.state}
        text={step.text}
        title={STEP_NAMES[step.step]}
        tries={step}
      />
    ))}
    <EndStop end={ends[1]} name="PostgreSQL" place={target} />
  </Flex>
);

type EndProps = {
  readonly name: string;
  readonly place: string;
  readonly end: Schemas["End"] | undefined;
};

/** An end, and whether it answered when it was asked last. */
const EndStop = ({ end, name, place }: EndProps) => {
  const ok = end?.ok ?? null;
  const look = ok === null ? STEP_LOOK.waits : ok ? STEP_LOOK.done : STEP_LOOK.failed;
  return (
    <Stop
      {...look}
      at={end?.at}
      first={name === "PACS"}
      note={place}
      state={ok === null ? "waits" : ok ? "done" : "failed"}
      text={ok === null ? "not asked yet" : ok ? "answered" : "does not answer"}
      title={name}
    />
  );
};

type StopProps = {
  readonly title: string;
  readonly text: string;
  readonly palette: string;
  readonly sign: string;
  readonly state: string;
  readonly note?: string;
  readonly at?: string | null;
  readonly tries?: Tried;
  readonly first?: boolean;
};

const Stop = ({ at, first = false, note, palette, sign, state, text, title, tries }: StopProps) => {
  const colour = palette === "gray" ? "border.emphasized" : `${palette}.solid`;
  return (
    <Flex align="center" as="li" flex={{ base: "0 0 auto", lg: first ? "0 1 auto" : "1 1 auto" }} minW={0}>
      {first ? null : (
        <Box
          aria-hidden
          borderColor={colour}
          borderStyle={palette === "gray" ? "dashed" : "solid"}
          borderTopWidth={2}
          display={{ base: "none", lg: "block" }}
          flex="1 1 0.75rem"
          minW={2}
          mx={1}
        />
      )}
      <Box
        borderColor={colour}
        borderRadius="md"
        borderWidth={state === "waits" || state === "not_reached" ? 1 : 2}
        data-state={state}
        flex={{ base: 1, lg: "0 1 auto" }}
        minW={0}
        px={3}
        py={2}
      >
        <Text fontSize="sm" fontWeight="semibold">
          <Text aria-hidden as="span" color={palette === "gray" ? "fg.muted" : `${palette}.fg`} me={1}>
            {sign}
          </Text>
          {title}
        </Text>
        <Text color="fg.muted" fontSize="xs" overflowWrap="anywhere">
          {text}
          {at ? (
            <>
              {" "}
              <Moment at={at} />
            </>
          ) : null}
        </Text>
        {note ? (
          <Text color="fg.muted" fontSize="xs" fontVariantNumeric="tabular-nums" overflowWrap="anywhere">
            {note}
          </Text>
        ) : null}
        {tries ? <Tries of={tries} /> : null}
      </Box>
    </Flex>
  );
};
