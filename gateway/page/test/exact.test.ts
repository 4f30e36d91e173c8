import { describe, expect, test } from "vitest";
import { Broken, Digits, exactText, Fields, parseExact } from "../src/api/exact";
import { parseCsv } from "../src/api/csv";
import { rowsOf, shown, withFloats } from "../src/lib/rows";

const text = (json: string) => exactText(parseExact(json));

describe("exact JSON", () => {
  test("numbers keep every digit", () => {
    for (const number of ["9007199254740993", "-0", "0.1000000000", "1.5e300", "123456789012345678901234567890.123456789", "-1E-7"]) {
      expect(parseExact(number)).toEqual(new Digits(number));
    }
  });

  test("fields keep their order, also those whose names are numbers, and two of one name", () => {
    const value = parseExact('{"b": 1, "2": 2, "1": 3, "b": 4, "__proto__": 5}') as Fields;
    expect(value.list.map(([name]) => name)).toEqual(["b", "2", "1", "b", "__proto__"]);
  });

  test("texts are those of JSON", () => {
    for (const one of ['""', '"a\\"b"', '"\\u00e9\\n\\\\"', '"\\ud83d\\ude00"', '"tab\\t/"']) {
      expect(parseExact(one)).toBe(JSON.parse(one));
    }
  });

  test("values of every kind nest", () => {
    expect(text('[null, true, false, "x", {"a": [1, {}]}, []]')).toBe('[null, true, false, "x", {"a": [1, {}]}, []]');
  });

  test("an answer that breaks off is no answer, wherever it breaks off", () => {
    const whole = '[{"a": "x\\"y", "b": -1.5e3, "c": [true, null]}]';
    for (let end = 0; end < whole.length; end += 1) {
      expect(() => parseExact(whole.slice(0, end)), whole.slice(0, end)).toThrow(Broken);
    }
    for (const wrong of ["[1,]", "{a: 1}", "[1 2]", "nul", "[] []", '"\\x"', "-"]) expect(() => parseExact(wrong), wrong).toThrow(Broken);
  });

  test("it agrees with JSON.parse on what doubles can hold", () => {
    let seed = 7;
    const random = (most: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % most;
    const make = (depth: number): unknown => {
      const kind = random(depth > 3 ? 5 : 7);
      if (kind === 5) return Array.from({ length: random(4) }, () => make(depth + 1));
      if (kind === 6) return Object.fromEntries(Array.from({ length: random(4) }, (_, at) => [`k${at}"\n`, make(depth + 1)]));
      return [null, true, false, random(1_000_000) / 64, `t${random(99)}\\"\u2028é`][kind];
    };
    for (let round = 0; round < 300; round += 1) {
      const value = make(0);
      expect(JSON.parse(text(JSON.stringify(value)))).toEqual(value);
    }
  });
});

describe("rows", () => {
  const columns = [
    { name: "f", type: "Float64", nullable: true },
    { name: "s", type: "Utf8View", nullable: true },
  ];

  test("NaN and infinities come from CSV; NULL and the empty text stay apart", () => {
    const rows = rowsOf('[{"f":null,"s":""},{"f":null,"s":null},{"f":null,"s":"NaN"},{"f":1.5,"s":"a"}]', columns);
    withFloats(rows, columns, parseCsv('f,s\nNaN,\n,\n-inf,NaN\n1.5,a\n').slice(1));
    expect(rows.map((row) => row.map(shown))).toEqual([
      ["NaN", ""],
      ["NULL", "NULL"],
      ["-inf", "NaN"],
      ["1.5", "a"],
    ]);
  });

  test("answers that do not belong together are refused", () => {
    expect(() => rowsOf('[{"f":1}]', columns)).toThrow(Broken);
    expect(() => rowsOf('{"f":1}', columns)).toThrow(Broken);
    const rows = rowsOf('[{"f":null,"s":""}]', columns);
    expect(() => withFloats(rows, columns, [])).toThrow(Broken);
  });
});

describe("CSV", () => {
  test("quotes, line ends and empty fields", () => {
    expect(parseCsv('a,b\n"x,""y""\n",\n,"z"\n')).toEqual([
      ["a", "b"],
      ['x,"y"\n', ""],
      ["", "z"],
    ]);
    expect(parseCsv("a\n\n1\n")).toEqual([["a"], [""], ["1"]]);
    expect(parseCsv("a,b\r\n1,\r\n")).toEqual([
      ["a", "b"],
      ["1", ""],
    ]);
    expect(() => parseCsv('a\n"x')).toThrow();
  });
});
