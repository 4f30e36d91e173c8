import { useEffect, useState } from "preact/hooks";
import { address, Problem, Unreachable } from "../api/client";
import type { QueryError } from "../api/types";

/** What went wrong, where, and what to do; and how to try again, if that may help. */
export function Trouble({ error, again }: { error: unknown; again?: (() => void) | undefined }) {
  if (error instanceof Problem) {
    return (
      <Box code={error.code} text={error.message} isRetryable={error.retryable || error.status === 429} again={again} after={error.retryAfter} />
    );
  }
  const text =
    error instanceof Unreachable
      ? "No gateway answers. Queries that were submitted go on without it. The page tries again by itself."
      : error instanceof Error
        ? error.message
        : String(error);
  return <Box code={null} text={text} isRetryable again={again} after={undefined} />;
}

export function Failure({ error }: { error: QueryError }) {
  return <Box code={error.code} text={error.message} isRetryable={error.retryable} again={undefined} after={undefined} />;
}

interface BoxOf {
  code: string | null;
  text: string;
  isRetryable: boolean;
  again: (() => void) | undefined;
  after: number | undefined;
}

function Box({ code, text, isRetryable, again, after }: BoxOf) {
  return (
    <section class="trouble" role="alert">
      {code !== null && (
        <p class="trouble-code">
          <strong>{code}</strong>
          <span>{isRetryable ? "a retry may help" : "a retry does not help"}</span>
        </p>
      )}
      <pre class="trouble-text" tabIndex={0} aria-label="What went wrong">
        {text}
      </pre>
      {code !== null && /^[A-Z_]+$/.test(code) && <Advice code={code} />}
      {again && (
        <button type="button" onClick={again}>
          Try again{after !== undefined ? ` (the gateway asks to wait ${after} s)` : ""}
        </button>
      )}
    </section>
  );
}

/** Text in which code stands between backticks. */
function words(text: string) {
  return text.split("`").map((piece, at) => (at % 2 === 1 ? <code key={at}>{piece}</code> : piece));
}

/** What the gateway's own page of the code says. */
function Advice({ code }: { code: string }) {
  const [text, setText] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    fetch(address(`errors/${code}`), { signal: stop.signal })
      .then(async (response) => setText(response.ok ? (await response.text()).split("\n").slice(2).join("\n").trim() : null))
      .catch(() => setText(null));
    return () => stop.abort();
  }, [code]);
  if (text === null) return null;
  return (
    <details class="advice">
      <summary>What this code means, and what to do</summary>
      {text.split(/\n{2,}/).map((paragraph, at) => {
        const said = paragraph.replace(/^> ?/gm, "");
        return said === paragraph ? <p key={at}>{words(said)}</p> : <blockquote key={at}>{words(said)}</blockquote>;
      })}
    </details>
  );
}
