import { describe, expect, it } from "vitest";

import { ordered, type Column } from "./Grid";

type Row = { readonly name: string; readonly rows: number | null };

const COLUMNS: Column<Row>[] = [
  { key: "rows", label: "Rows", cell: () => null, sort: (row) => row.rows },
  { key: "name", label: "Name", cell: () => null },
];
const ROWS: Row[] = [
  { name: "b", rows: 5 },
  { name: "none", rows: null },
  { name: "a", rows: 5 },
  { name: "c", rows: 2 },
];
const names = (key: string, down: boolean) =>
  ordered(ROWS, COLUMNS, { down, key }, (one, other) => one.name.localeCompare(other.name)).map(
    (row) => row.name,
  );

describe("ordered", () => {
  it("puts rows without a value last in both directions", () => {
    expect(names("rows", false)).toEqual(["c", "a", "b", "none"]);
    expect(names("rows", true)).toEqual(["a", "b", "c", "none"]);
  });

  it("leaves the order as it is where a column has none", () => {
    expect(names("name", false)).toEqual(ROWS.map((row) => row.name));
  });
});
