import { Alert, Box, Flex, Heading, Link, Spinner, Text } from "@chakra-ui/react";
import type { ComponentProps, ReactNode } from "react";
import { Link as RouterLink } from "react-router-dom";

import { fileAddress } from "src/api/client";

type CardProps = Omit<ComponentProps<typeof Box>, "title"> & {
  readonly title?: string;
  readonly aside?: ReactNode;
  readonly children?: ReactNode;
};

export const Card = ({ aside, children, title, ...rest }: CardProps) => (
  <Box
    aria-label={title}
    as="section"
    bg="bg.panel"
    borderColor="border"
    borderRadius="lg"
    borderWidth={1}
    minW={0}
    {...rest}
  >
    {title === undefined ? null : (
      <Flex
        align="center"
        borderBottomWidth={1}
        borderColor="border"
        gap={3}
        justify="space-between"
        px={4}
        py={2.5}
        wrap="wrap"
      >
        <Heading as="h2" size="sm">
          {title}
        </Heading>
        {aside === undefined ? null : (
          <Box color="fg.muted" fontSize="sm">
            {aside}
          </Box>
        )}
      </Flex>
    )}
    {children}
  </Box>
);

type NoteProps = {
  readonly status?: "error" | "info" | "success" | "warning";
  readonly title?: string;
  readonly children?: ReactNode;
};

export const Note = ({ children, status = "info", title }: NoteProps) => (
  <Alert.Root alignItems="flex-start" borderRadius="lg" size="sm" status={status}>
    <Alert.Indicator />
    <Alert.Content minW={0}>
      {title ? <Alert.Title overflowWrap="anywhere">{title}</Alert.Title> : null}
      {children ? (
        <Alert.Description as="div" overflowWrap="anywhere">
          {children}
        </Alert.Description>
      ) : null}
    </Alert.Content>
  </Alert.Root>
);

export const Empty = ({ children }: { readonly children: ReactNode }) => (
  <Text color="fg.muted" px={4} py={6} textAlign="center">
    {children}
  </Text>
);

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : "Airflow does not answer.";

/** Stands where an answer is awaited, or says why there is none. */
export const Waiting = ({ error }: { readonly error: unknown }) =>
  error ? (
    <Note status="error" title="This could not be read">
      {messageOf(error)}
    </Note>
  ) : (
    <Flex align="center" color="fg.muted" gap={2} p={6} role="status">
      <Spinner size="sm" />
      Reading…
    </Flex>
  );

export const NotFresh = ({ error }: { readonly error: unknown }) =>
  error ? (
    <Note status="warning" title="These figures are not fresh">
      {messageOf(error)}
    </Note>
  ) : null;

type ToProps = Omit<ComponentProps<typeof Link>, "href"> & { readonly to: string };

/** A link inside Airflow. */
export const To = ({ children, to, ...rest }: ToProps) => (
  <Link asChild color="fg.info" {...rest}>
    <RouterLink to={to}>{children}</RouterLink>
  </Link>
);

/** A file of the plugin's API, to be saved. */
export const Save = ({
  path,
  ...rest
}: { readonly path: string } & Omit<ComponentProps<typeof Link>, "href">) => (
  <Link color="fg.info" download fontSize="sm" href={fileAddress(path)} {...rest} />
);

/** Keys and fingerprints: text, cut by style and whole in the title. */
export const Mono = ({ children, max = "37ch" }: { readonly children: string; readonly max?: string }) => (
  <Text
    as="span"
    display="inline-block"
    fontFamily="mono"
    fontSize="xs"
    maxW={max}
    title={children}
    truncate
    verticalAlign="middle"
  >
    {children}
  </Text>
);

export const Muted = ({ children = "–", ...rest }: ComponentProps<typeof Text>) => (
  <Text as="span" color="fg.muted" {...rest}>
    {children}
  </Text>
);
