// Axes: where a value stands, and at which round numbers the ticks are.

export interface Scale {
  low: number;
  high: number;
  ticks: number[];
}

/** A scale over the values, with about so many ticks at 1, 2 or 5 times a power of ten. */
export function scale(values: number[], wanted = 5, fromZero = false): Scale {
  const real = values.filter(Number.isFinite);
  let low = real.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  let high = real.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  if (real.length === 0) [low, high] = [0, 1];
  if (fromZero) [low, high] = [Math.min(0, low), Math.max(0, high)];
  if (low === high) {
    const room = low === 0 ? 1 : Math.abs(low) / 2;
    [low, high] = fromZero && low >= 0 ? [0, high + room] : [low - room, high + room];
  }
  const step = round((high - low) / wanted);
  const first = Math.floor(low / step);
  const last = Math.ceil(high / step);
  const ticks = Array.from({ length: last - first + 1 }, (_, at) => tidy((first + at) * step, step));
  return { low: ticks[0] ?? low, high: ticks.at(-1) ?? high, ticks };
}

function round(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const rest = step / power;
  return power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
}

/** Without the last digits that floating point adds: 0.30000000000000004 is 0.3. */
function tidy(value: number, step: number): number {
  const digits = Math.max(0, Math.min(20, 1 - Math.floor(Math.log10(step))));
  return Number(value.toFixed(digits));
}

/** A tick for people: 1.2 M, 0.05. */
export function tick(value: number): string {
  const size = Math.abs(value);
  for (const [unit, name] of [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (size >= unit) return `${Number((value / unit).toPrecision(4))} ${name}`;
  }
  return size !== 0 && size < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(6)));
}
