import { useState } from "preact/hooks";
import { pieces } from "../lib/lex";

/** A statement to read. */
export function Sql({ sql, label }: { sql: string; label: string }) {
  return (
    <pre class="code" tabIndex={0} aria-label={label}>
      {pieces(sql).map(({ kind, text }, at) => (kind === "other" ? text : <span key={at} class={`sql-${kind}`}>{text}</span>))}
    </pre>
  );
}

export function Copy({ text, name }: { text: string; name: string }) {
  const [said, setSaid] = useState("");
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => setSaid("copied"),
      () => setSaid("the browser does not allow it"),
    );
  return (
    <span class="copy">
      <button type="button" onClick={copy}>
        {name}
      </button>
      <span role="status">{said}</span>
    </span>
  );
}
