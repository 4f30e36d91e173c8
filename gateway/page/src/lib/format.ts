// Numbers for people. Digits are grouped by commas, as the gateway's own texts do it.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** `1 row`, `2 rows`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Three digits, decimal units: 1.23 MB. */
export function bytes(value: number): string {
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit + 1 < UNITS.length) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? count(rest) : three(rest)} ${UNITS[unit]}`;
}

function three(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A time in milliseconds: 0.4 ms, 412 ms, 2.31 s, 3 min 12 s, 2 h 5 min. */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${three(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const micros = (us: number): string => duration(us / 1000);

/** Dollars with three digits that count: $0.0000916, $0.0120, $3.41. */
export function dollars(value: number): string {
  if (value === 0) return "$0";
  const digits = value >= 1 ? 2 : Math.min(12, 2 - Math.floor(Math.log10(value)));
  return `$${value.toFixed(digits)}`;
}

export function percent(share: number): string {
  if (!Number.isFinite(share)) return "0 %";
  return share > 0 && share < 0.01 ? "<1 %" : `${Math.round(share * 100)} %`;
}

const pad = (value: number): string => String(value).padStart(2, "0");

/** The local time, with the day if it is not today. */
export function clock(ms: number, now = Date.now()): string {
  const then = new Date(ms);
  const time = `${pad(then.getHours())}:${pad(then.getMinutes())}:${pad(then.getSeconds())}`;
  if (new Date(now).toDateString() === then.toDateString()) return time;
  return `${then.getFullYear()}-${pad(then.getMonth() + 1)}-${pad(then.getDate())} ${time}`;
}

/** Words of a key of JSON: `tasks_pending` becomes `tasks pending`. */
export const words = (name: string): string => name.replaceAll("_", " ");

/** The first digits of an id, which tell ids of one minute apart by their end. */
export const shortId = (id: string): string => (id.length > 18 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);
