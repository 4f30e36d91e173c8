// Classes of queries. Thresholds and figures are by class, because the mean of a count and of TPC-H Q21 says nothing.
//
// Of TPC-H by docs/performance.md at scale 10: heavy = more than 4 s, medium = 1.6 to 4 s, short = the rest.

export const TPCH = {
  short: [2, 4, 6, 11, 12, 14, 16, 19, 22],
  medium: [1, 3, 5, 8, 10, 13, 15, 20],
  heavy: [7, 9, 17, 18, 21],
};

// Shares of the mix in percent.
export const MIX = { short: 70, medium: 25, heavy: 5 };

export function classOf(number) {
  for (const name of Object.keys(TPCH)) {
    if (TPCH[name].includes(number)) return name;
  }
  throw new Error(`TPC-H has no query ${number}`);
}

// A number in [0, 1) that depends on `n` only, so that two runs send the same queries in the same order.
export function fixedRandom(n) {
  let x = (n + 1) * 0x9e3779b1;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) >>> 0) / 4294967296;
}

// The class and the number of the n-th query of the mix.
export function pick(n, mix = MIX) {
  let left = fixedRandom(2 * n) * 100;
  let chosen = 'short';
  for (const name of Object.keys(mix)) {
    chosen = name;
    left -= mix[name];
    if (left < 0) break;
  }
  const numbers = TPCH[chosen];
  return { class: chosen, number: numbers[Math.floor(fixedRandom(2 * n + 1) * numbers.length)] };
}
