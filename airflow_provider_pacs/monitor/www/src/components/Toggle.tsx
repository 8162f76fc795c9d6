import { Button } from "@chakra-ui/react";

type ToggleProps = {
  readonly on: boolean;
  readonly onChange: (on: boolean) => void;
  /** What pressing does while it is off, and while it is on. */
  readonly words: readonly [string, string];
};

export const Toggle = ({ on, onChange, words }: ToggleProps) => (
  <Button aria-pressed={on} onClick={() => onChange(!on)} size="xs" variant="outline">
    {words[on ? 1 : 0]}
  </Button>
);
