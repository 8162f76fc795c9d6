import { Button, Dialog, Field, Portal, Textarea } from "@chakra-ui/react";
import { useState, type ReactNode } from "react";

import { Note } from "./Layout";

type ConfirmProps = {
  /** What the button says, and the dialog's confirming button too. */
  readonly action: string;
  readonly title: string;
  readonly children?: ReactNode;
  /** Asks for a reason, and hands it on. */
  readonly needsReason?: boolean;
  readonly palette?: string;
  readonly disabled?: boolean;
  readonly onConfirm: (reason: string) => Promise<unknown>;
};

/** A button that does nothing before somebody has read what it will do. */
export const Confirm = ({
  action,
  children,
  disabled = false,
  needsReason = false,
  onConfirm,
  palette = "blue",
  title,
}: ConfirmProps) => {
  const [open, setOpen] = useState(false);
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const confirm = async () => {
    setBusy(true);
    setError("");
    try {
      await onConfirm(reason.trim());
      setOpen(false);
      setReason("");
    } catch (refusal) {
      setError(refusal instanceof Error ? refusal.message : "Airflow does not answer.");
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog.Root
      lazyMount
      onOpenChange={(change) => {
        setOpen(change.open);
        setError("");
      }}
      open={open}
      role="alertdialog"
      unmountOnExit
    >
      <Dialog.Trigger asChild>
        <Button colorPalette={palette} disabled={disabled} size="xs" variant="outline">
          {action}
        </Button>
      </Dialog.Trigger>
      <Portal>
        <Dialog.Backdrop />
        <Dialog.Positioner>
          <Dialog.Content>
            <Dialog.Header>
              <Dialog.Title>{title}</Dialog.Title>
            </Dialog.Header>
            <Dialog.Body>
              {children}
              {needsReason ? (
                <Field.Root mt={3} required>
                  <Field.Label>Reason</Field.Label>
                  <Textarea
                    maxLength={500}
                    onChange={(event) => setReason(event.target.value)}
                    value={reason}
                  />
                </Field.Root>
              ) : null}
              {error ? (
                <Note status="error" title="This was not done">
                  {error}
                </Note>
              ) : null}
            </Dialog.Body>
            <Dialog.Footer>
              <Dialog.ActionTrigger asChild>
                <Button variant="outline">Cancel</Button>
              </Dialog.ActionTrigger>
              <Button
                colorPalette={palette}
                disabled={needsReason && reason.trim() === ""}
                loading={busy}
                onClick={() => void confirm()}
              >
                {action}
              </Button>
            </Dialog.Footer>
          </Dialog.Content>
        </Dialog.Positioner>
      </Portal>
    </Dialog.Root>
  );
};
