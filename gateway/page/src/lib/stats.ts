// Skew: how unevenly the tasks of a stage took their time.

export interface Spread {
  min: number;
  p25: number;
  p50: number;
  p75: number;
  max: number;
  mean: number;
}

/** The five numbers by linear interpolation between neighbours; none of an empty list. */
export function spread(values: number[]): Spread | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const low = sorted[below] ?? 0;
    const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? low;
    return low + (high - low) * (place - below);
  };
  const sum = sorted.reduce((total, value) => total + value, 0);
  return { min: at(0), p25: at(0.25), p50: at(0.5), p75: at(0.75), max: at(1), mean: sum / sorted.length };
}

/** The largest divided by the mean: 1 is even. A single task has no skew. */
export function skew(values: number[]): number | null {
  const found = spread(values);
  return found === null || values.length < 2 || found.mean === 0 ? null : found.max / found.mean;
}
