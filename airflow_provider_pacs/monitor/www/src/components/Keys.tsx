import { Button, Stack } from "@chakra-ui/react";
import { useState } from "react";

import { number } from "src/format";
import { Mono, Muted } from "./Layout";

const FOLDED = 5;

/** Keys of rows; a long list is folded. */
export const Keys = ({ keys }: { readonly keys: readonly string[] }) => {
  const [open, setOpen] = useState(false);
  if (keys.length === 0) return <Muted />;
  return (
    <Stack align="start" gap={0}>
      {(open ? keys : keys.slice(0, FOLDED)).map((key) => (
        <Mono key={key}>{key}</Mono>
      ))}
      {keys.length > FOLDED ? (
        <Button aria-expanded={open} mt={1} onClick={() => setOpen(!open)} size="2xs" variant="outline">
          {open ? "Fewer" : `All ${number(keys.length)}`}
        </Button>
      ) : null}
    </Stack>
  );
};
