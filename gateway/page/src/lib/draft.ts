// What the SQL box holds. It is kept for the tab, so that a look at another view loses nothing.
import type { Plan, QueryStatus } from "../api/types";

export interface Draft {
  sql: string;
  parameters: string;
  route: string;
  partitions: string;
  maxBytes: string;
  maxCost: string;
  tags: string;
}

const NAME = "dunlin.draft";
export const EMPTY: Draft = { sql: "", parameters: "", route: "auto", partitions: "", maxBytes: "", maxCost: "", tags: "" };
const PARTITIONS = "datafusion.execution.target_partitions";

export function draft(): Draft {
  try {
    return { ...EMPTY, ...(JSON.parse(sessionStorage.getItem(NAME) ?? "{}") as Partial<Draft>) };
  } catch {
    return EMPTY;
  }
}

export function keepDraft(now: Draft): void {
  try {
    sessionStorage.setItem(NAME, JSON.stringify(now));
  } catch {
    // It is too large for the storage. It stays in the box.
  }
}

/** Puts the statement of a query into the SQL box, with its settings. */
export function handOver(plan: Plan, status: QueryStatus): void {
  const isFleet = status.route === "fleet";
  keepDraft({
    ...EMPTY,
    sql: plan.sql,
    route: status.route_reason === "asked for" && status.route ? status.route : "auto",
    partitions: isFleet ? (plan.settings?.[PARTITIONS] ?? "") : "",
    tags: Object.entries(status.tags ?? {})
      .map(([name, value]) => `${name}:${value}`)
      .join(", "),
  });
}

/** A part of the form that cannot be sent, in words. */
export class Unusable extends Error {}

/** The request that the box stands for. */
export function requestOf(now: Draft, sql: string): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  if (now.route !== "auto") settings["route"] = now.route;
  if (now.partitions.trim() !== "") settings["target_partitions"] = number(now.partitions, "Partitions");
  const limits: Record<string, unknown> = {};
  if (now.maxBytes.trim() !== "") limits["max_bytes_scanned"] = number(now.maxBytes, "Most bytes read");
  if (now.maxCost.trim() !== "") limits["max_cost_usd"] = number(now.maxCost, "Most dollars");
  const request: Record<string, unknown> = { sql };
  if (Object.keys(settings).length > 0) request["settings"] = settings;
  if (Object.keys(limits).length > 0) request["limits"] = limits;
  if (now.tags.trim() !== "") request["tags"] = tagsOf(now.tags);
  if (now.parameters.trim() !== "") request["parameters"] = parametersOf(now.parameters);
  return request;
}

function number(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Unusable(`${name}: "${text}" is no number`);
  return value;
}

export function tagsOf(text: string): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const part of text.split(",").map((one) => one.trim())) {
    if (part === "") continue;
    const colon = part.indexOf(":");
    if (colon < 1) throw new Unusable(`Tags: "${part}" is not name:value`);
    tags[part.slice(0, colon).trim()] = part.slice(colon + 1).trim();
  }
  return tags;
}

function parametersOf(text: string): unknown[] {
  try {
    const list = JSON.parse(text) as unknown;
    if (Array.isArray(list)) return list;
  } catch {
    // Said below.
  }
  throw new Unusable('Parameters are a JSON list, such as ["1995-01-01", 5]');
}
