import { Progress } from "@chakra-ui/react";

type BarProps = {
  readonly label: string;
  /** 0 to 1; null where the end is not known. */
  readonly value: number | null;
  readonly palette?: string;
  readonly busy?: boolean;
};

/** How far a read is: a share where the end is known, else a bar that says only that rows come. */
export const Bar = ({ busy = false, label, palette = "blue", value }: BarProps) => (
  <Progress.Root
    animated={busy}
    colorPalette={palette}
    minW="8rem"
    size="sm"
    striped={busy}
    value={value === null ? null : Math.min(100, value * 100)}
  >
    <Progress.Track aria-label={label} borderRadius="full">
      <Progress.Range />
    </Progress.Track>
  </Progress.Root>
);
