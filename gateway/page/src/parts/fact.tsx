import type { ComponentChildren } from "preact";
import { Trouble } from "./problem";

/** A name and its value; stands in a `dl`. */
export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Waiting({ error, again }: { error: unknown; again: () => void }) {
  return error === null ? <p class="quiet">Reading…</p> : <Trouble error={error} again={again} />;
}
