// Statements that were run, in this browser only.
const NAME = "dunlin.history";
const KEPT = 50;
const LONGEST = 20_000;

export interface Run {
  sql: string;
  at: number;
  query?: string;
}

export function history(): Run[] {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? "[]") as unknown;
    return Array.isArray(kept) ? kept.filter((run): run is Run => typeof (run as Run)?.sql === "string") : [];
  } catch {
    return [];
  }
}

/** The newest first; a statement that was run before moves to the top. */
export function remembered(kept: Run[], run: Run): Run[] {
  if (run.sql.length > LONGEST) return kept;
  return [run, ...kept.filter((other) => other.sql !== run.sql)].slice(0, KEPT);
}

export function remember(run: Run): void {
  try {
    localStorage.setItem(NAME, JSON.stringify(remembered(history(), run)));
  } catch {
    // The storage is full or forbidden. The statement runs nevertheless.
  }
}

export function forget(): void {
  try {
    localStorage.removeItem(NAME);
  } catch {
    // Nothing was kept then.
  }
}
