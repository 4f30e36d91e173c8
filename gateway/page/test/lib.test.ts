import { describe, expect, test } from "vitest";
import { requestOf, tagsOf, Unusable, type Draft } from "../src/lib/draft";
import { bytes, count, dollars, duration, percent } from "../src/lib/format";
import { remembered, type Run } from "../src/lib/history";
import { layered } from "../src/lib/layers";
import { firstWord, offsetOf, pieces } from "../src/lib/lex";
import { readPlan, splitSteps } from "../src/lib/plan";
import { isId, placeOf, to } from "../src/lib/router";
import { scale, tick } from "../src/lib/scale";
import { skew, spread } from "../src/lib/stats";

describe("numbers for people", () => {
  test("bytes have three digits", () => {
    expect([0, 999, 1000, 1234, 45_600, 999_600, 2_860_000, 1.5e12].map(bytes)).toEqual(["0 B", "999 B", "1.00 kB", "1.23 kB", "45.6 kB", "1.00 MB", "2.86 MB", "1.50 TB"]);
  });

  test("times", () => {
    expect([0.42, 9.94, 412, 999.6, 2310, 59_960, 192_000, 7_500_000, 100_000_000].map(duration)).toEqual([
      "0.4 ms", "9.9 ms", "412 ms", "1.00 s", "2.31 s", "1 min 0 s", "3 min 12 s", "2 h 5 min", "1 d 4 h",
    ]);
  });

  test("dollars show what counts", () => {
    expect([0, 0.0000916, 0.012, 0.000000000412, 3.411].map(dollars)).toEqual(["$0", "$0.0000916", "$0.0120", "$0.000000000412", "$3.41"]);
  });

  test("counts and shares", () => {
    expect([1, 1234, 1_234_567].map(count)).toEqual(["1", "1,234", "1,234,567"]);
    expect([0, 0.001, 0.5, Number.NaN].map(percent)).toEqual(["0 %", "<1 %", "50 %", "0 %"]);
  });
});

describe("skew", () => {
  test("five numbers, whatever the order", () => {
    expect(spread([4, 1, 3, 2, 5])).toEqual({ min: 1, p25: 2, p50: 3, p75: 4, max: 5, mean: 3 });
    expect(spread([1, 2])).toMatchObject({ min: 1, p25: 1.25, p50: 1.5, max: 2 });
    expect(spread([])).toBeNull();
  });

  test("the largest by the mean; one task has none", () => {
    expect(skew([1, 1, 4])).toBe(2);
    expect(skew([7])).toBeNull();
    expect(skew([0, 0])).toBeNull();
  });
});

describe("layers", () => {
  test("producers stand before consumers, sources next to theirs", () => {
    const nodes = [
      { id: 0, inputs: [] },
      { id: 1, inputs: [0] },
      { id: 2, inputs: [] },
      { id: 3, inputs: [1, 2] },
    ];
    const layout = layered(nodes);
    const layer = new Map(layout.nodes.map((node) => [node.id, node.layer]));
    expect([0, 1, 2, 3].map((id) => layer.get(id))).toEqual([0, 1, 1, 2]);
    expect([layout.layers, layout.rows]).toEqual([3, 2]);
  });

  test("two chains beside one another do not cross", () => {
    const { nodes } = layered([
      { id: 0, inputs: [] },
      { id: 1, inputs: [] },
      { id: 2, inputs: [1] },
      { id: 3, inputs: [0] },
    ]);
    const row = new Map(nodes.map((node) => [node.id, node.row]));
    const sides = [
      [0, 3],
      [1, 2],
    ].map(([from, upto]) => row.get(from ?? 0) === row.get(upto ?? 0));
    expect(sides).toEqual([true, true]);
  });

  test("a circle, an unknown input and nothing at all do not hang it", () => {
    expect(layered([]).layers).toBe(0);
    expect(layered([{ id: 0, inputs: [9] }]).nodes).toHaveLength(1);
    const circle = layered([
      { id: 0, inputs: [1] },
      { id: 1, inputs: [0] },
    ]);
    expect(circle.nodes).toHaveLength(2);
  });
});

const PLAN = `route: fleet (asked for)
stage 1: merge; 1 task; 1 partition
  merge in order by a
  about 10 rows (320 B in memory) out: the answer
    SortPreservingMergeExec: [a@0 ASC], fetch=10
      ExchangeReaderExec: stage=0, partitions=4
stage 0: join, scan t; 1 to 4 tasks, by the bytes of its inputs; 4 partitions
  scan t (4 files, 1 kB; a, b) where b = 'x; y'; inner join u and t on a = a
  about 3 rows out, partition by partition: stage 1 merges them in order
    HashJoinExec: mode=Partitioned, on=[(a@0, a@0)]
      DataSourceExec: one
      FilterExec: b@1 = x: y
        DataSourceExec: two
`;

describe("plans", () => {
  test("the text is read stage by stage", () => {
    const [last, first] = readPlan(PLAN);
    expect([last?.stage, last?.name, last?.size]).toEqual([1, "merge", "1 task; 1 partition"]);
    expect(first?.lines).toHaveLength(2);
    expect(first?.operators.map((one) => [one.name, one.inputs.length])).toEqual([["HashJoinExec", 2]]);
    expect(first?.operators[0]?.inputs[1]).toMatchObject({ name: "FilterExec", detail: "b@1 = x: y", inputs: [{ name: "DataSourceExec", detail: "two" }] });
  });

  test("steps are cut at their semicolons only", () => {
    expect(splitSteps(readPlan(PLAN)[1]?.lines[0] ?? "")).toEqual(["scan t (4 files, 1 kB; a, b) where b = 'x; y'", "inner join u and t on a = a"]);
  });

  test("another text is no plan, and no error", () => {
    expect(readPlan("")).toEqual([]);
    expect(readPlan("nothing\n  known")).toEqual([]);
  });
});

describe("axes", () => {
  test("ticks are round, and hold all values", () => {
    expect(scale([3, 97])).toEqual({ low: 0, high: 100, ticks: [0, 20, 40, 60, 80, 100] });
    expect(scale([0.1, 0.35]).ticks).toEqual([0.1, 0.15, 0.2, 0.25, 0.3, 0.35]);
    expect(scale([5, 9], 5, true).low).toBe(0);
    expect(scale([-7, -3], 5, true)).toMatchObject({ low: -8, high: 0 });
  });

  test("one value, no value and what is none", () => {
    for (const values of [[5], [], [Number.NaN], [0, 0], [-4]]) {
      const { low, high, ticks } = scale(values);
      expect(low).toBeLessThan(high);
      expect(ticks.length).toBeLessThan(20);
    }
    expect([0, 1_500_000, 0.05, 2.5e9].map(tick)).toEqual(["0", "1.5 M", "0.05", "2.5 G"]);
  });
});

describe("SQL", () => {
  test("pieces join to the text again", () => {
    const sql = "select 'it''s', \"a b\", 1.5e3 -- remark\nfrom t /* open";
    expect(pieces(sql).map((piece) => piece.text).join("")).toBe(sql);
    expect(pieces(sql).filter((piece) => piece.kind !== "other").map((piece) => piece.kind)).toEqual(["word", "text", "text", "number", "remark", "word", "remark"]);
  });

  test("the first word stands behind remarks", () => {
    expect(firstWord("-- x\n/* y */ ( Explain analyze select 1")).toBe("explain");
    expect(firstWord("")).toBe("");
  });

  test("a position counts characters, not units", () => {
    expect(offsetOf("select 1\nfrom t", 2, 6)).toBe(14);
    expect(offsetOf("'😀' x", 1, 5)).toBe(5);
    expect(offsetOf("a", 9, 1)).toBe(1);
  });
});

describe("addresses", () => {
  test("a place is found again", () => {
    const address = to("queries", [], { status: "", tag: "team:a & b" });
    expect(placeOf(address)).toMatchObject({ view: "queries", path: [] });
    expect(placeOf(address).params.get("tag")).toBe("team:a & b");
    expect(placeOf(to("query", ["id", "tasks"]))).toMatchObject({ view: "query", path: ["id", "tasks"] });
    expect(placeOf("").view).toBe("queries");
    expect(isId("01a22b5a-6070-72c5-ab3d-99b1502bfa17")).toBe(true);
    for (const other of ["", "../wake", "01a22b5a", "x?y=01a22b5a-6070-72c5-ab3d-99b1502bfa17", undefined]) expect(isId(other)).toBe(false);
    expect(placeOf("#/%E0%A4%A").view).toBe("%E0%A4%A");
  });
});

describe("the SQL box", () => {
  const empty: Draft = { sql: "", parameters: "", route: "auto", partitions: "", maxBytes: "", maxCost: "", tags: "" };

  test("only what was given is sent", () => {
    expect(requestOf(empty, "select 1")).toEqual({ sql: "select 1" });
    const full = { ...empty, route: "fleet", partitions: "4", maxBytes: "1e9", maxCost: "0.05", tags: "team:a, job: b:c", parameters: '["x", 1]' };
    expect(requestOf(full, "s")).toEqual({
      sql: "s",
      settings: { route: "fleet", target_partitions: 4 },
      limits: { max_bytes_scanned: 1e9, max_cost_usd: 0.05 },
      tags: { team: "a", job: "b:c" },
      parameters: ["x", 1],
    });
  });

  test("what cannot be sent is told by its name", () => {
    expect(() => requestOf({ ...empty, partitions: "many" }, "s")).toThrow("Partitions");
    expect(() => requestOf({ ...empty, parameters: "{}" }, "s")).toThrow(Unusable);
    expect(() => tagsOf("team")).toThrow("name:value");
  });

  test("the history has each statement once, the newest first, and an end", () => {
    let kept: Run[] = [];
    for (let at = 0; at < 80; at += 1) kept = remembered(kept, { sql: `select ${at % 60}`, at });
    expect(kept).toHaveLength(50);
    expect(kept[0]).toEqual({ sql: "select 19", at: 79 });
    expect(new Set(kept.map((run) => run.sql)).size).toBe(50);
    expect(remembered(kept, { sql: "x".repeat(30_000), at: 1 })).toBe(kept);
  });
});
