// Places the stages of a query: producers left (or above), consumers right (or below), few crossing edges.
//
//   stage 0 ─┐
//            ├─> stage 2 ──> stage 3
//   stage 1 ─┘                             the layer of a stage: the longest chain of inputs before it

export interface Node {
  id: number;
  inputs: number[];
}

export interface Placed {
  id: number;
  layer: number;
  /** Place in its layer, from 0. */
  row: number;
}

export interface Layout {
  nodes: Placed[];
  layers: number;
  /** Nodes in the fullest layer. */
  rows: number;
}

const SWEEPS = 4;

export function layered(nodes: Node[]): Layout {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const layerOf = new Map<number, number>();
  const layer = (id: number, path: Set<number>): number => {
    const found = layerOf.get(id);
    if (found !== undefined) return found;
    // A plan has no circle. If one came nevertheless, the page must not hang.
    if (path.has(id)) return 0;
    const node = known.get(id);
    const inner = new Set(path).add(id);
    const inputs = (node?.inputs ?? []).filter((input) => known.has(input));
    const own = inputs.length === 0 ? 0 : Math.max(...inputs.map((input) => layer(input, inner) + 1));
    layerOf.set(id, own);
    return own;
  };
  for (const node of nodes) layer(node.id, new Set());
  // A source stands directly before its first consumer, so that its edge is short.
  for (const node of nodes) {
    if (node.inputs.some((input) => known.has(input))) continue;
    const consumers = nodes.filter((other) => other.inputs.includes(node.id));
    if (consumers.length > 0) {
      layerOf.set(node.id, Math.min(...consumers.map((other) => layerOf.get(other.id) ?? 1)) - 1);
    }
  }
  const count = nodes.length === 0 ? 0 : Math.max(...layerOf.values()) + 1;
  const layers: number[][] = Array.from({ length: count }, () => []);
  for (const node of [...nodes].sort((a, b) => a.id - b.id)) layers[layerOf.get(node.id) ?? 0]?.push(node.id);
  const place = new Map<number, number>();
  const remember = (ids: number[]) => ids.forEach((id, at) => place.set(id, at - (ids.length - 1) / 2));
  layers.forEach(remember);
  const consumersOf = (id: number) => nodes.filter((node) => node.inputs.includes(id)).map((node) => node.id);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const isForward = sweep % 2 === 1;
    const order = isForward ? layers : [...layers].reverse();
    for (const ids of order) {
      const wish = new Map(
        ids.map((id) => {
          const near = isForward ? (known.get(id)?.inputs ?? []) : consumersOf(id);
          const places = near.map((other) => place.get(other)).filter((at) => at !== undefined);
          const own = place.get(id) ?? 0;
          return [id, places.length === 0 ? own : places.reduce((sum, at) => sum + at, 0) / places.length];
        }),
      );
      ids.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0) || a - b);
      remember(ids);
    }
  }
  const placed = layers.flatMap((ids, layer) => ids.map((id, row) => ({ id, layer, row })));
  return { nodes: placed, layers: count, rows: Math.max(0, ...layers.map((ids) => ids.length)) };
}
