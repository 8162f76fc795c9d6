import { Button, Table } from "@chakra-ui/react";
import type { ReactNode } from "react";

import { Empty } from "./Layout";

export type Column<Row> = {
  readonly key: string;
  readonly label: string;
  readonly cell: (row: Row) => ReactNode;
  /** Digits stand under digits. */
  readonly number?: boolean;
  readonly sort?: (row: Row) => number | string | null | undefined;
};

export type Order = { readonly key: string; readonly down: boolean };

type GridProps<Row> = {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowKey: (row: Row) => string;
  readonly order?: Order;
  readonly onOrder?: (key: string) => void;
  readonly none?: string;
};

/** Rows in the order of a column; rows without a value come last. */
export function ordered<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  order: Order,
  tie: (one: Row, other: Row) => number,
): readonly Row[] {
  const value = columns.find((column) => column.key === order.key)?.sort;
  if (!value) return rows;
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one) ?? null, value(other) ?? null];
    if (a === b) return tie(one, other);
    if (a === null) return 1;
    if (b === null) return -1;
    return (a < b ? -1 : 1) * (order.down ? -1 : 1);
  });
}

/** A table with real headers; with `order` and `onOrder` they are buttons. */
export function Grid<Row>({
  columns,
  label,
  none = "Nothing to show.",
  onOrder,
  order,
  rowKey,
  rows,
}: GridProps<Row>) {
  if (rows.length === 0) return <Empty>{none}</Empty>;
  return (
    <Table.ScrollArea aria-label={label} role="region" tabIndex={0}>
      <Table.Root aria-label={label} interactive={false} size="sm">
        <Table.Header>
          <Table.Row bg="transparent">
            {columns.map((column) => (
              <Header column={column} key={column.key} onOrder={onOrder} order={order} />
            ))}
          </Table.Row>
        </Table.Header>
        <Table.Body>
          {rows.map((row) => (
            <Table.Row bg="transparent" key={rowKey(row)}>
              {columns.map((column, index) => (
                <Table.Cell
                  fontSize="sm"
                  fontVariantNumeric="tabular-nums"
                  key={column.key}
                  px={2}
                  textAlign={column.number ? "end" : "start"}
                  verticalAlign="middle"
                  whiteSpace={column.number ? "nowrap" : "normal"}
                  {...(index === 0 ? { as: "th", fontWeight: "normal", scope: "row" } : {})}
                >
                  {column.cell(row)}
                </Table.Cell>
              ))}
            </Table.Row>
          ))}
        </Table.Body>
      </Table.Root>
    </Table.ScrollArea>
  );
}

type HeaderProps<Row> = {
  readonly column: Column<Row>;
  readonly order?: Order;
  readonly onOrder?: (key: string) => void;
};

function Header<Row>({ column, onOrder, order }: HeaderProps<Row>) {
  const sorted = order?.key === column.key;
  const upwards = sorted && !order.down;
  return (
    <Table.ColumnHeader
      aria-sort={sorted ? (order.down ? "descending" : "ascending") : undefined}
      bg="bg.panel"
      color="fg.muted"
      fontSize="xs"
      px={2}
      scope="col"
      textAlign={column.number ? "end" : "start"}
      whiteSpace="nowrap"
    >
      {onOrder && column.sort ? (
        <Button
          color="inherit"
          fontSize="inherit"
          fontWeight="inherit"
          h="auto"
          minW={0}
          onClick={() => onOrder(column.key)}
          p={0}
          size="xs"
          variant="plain"
          whiteSpace="nowrap"
        >
          {column.label}
          <span aria-hidden style={{ fontSize: "0.7em", opacity: sorted ? 1 : 0.25 }}>
            {upwards ? "▲" : "▼"}
          </span>
        </Button>
      ) : (
        column.label
      )}
    </Table.ColumnHeader>
  );
}
