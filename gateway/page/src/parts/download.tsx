import { useState } from "preact/hooks";
import { address, ask, isAbort, key, persist } from "../api/client";
import { bytes } from "../lib/format";
import { Trouble } from "./problem";

const FORMATS: [string, string, string][] = [
  ["csv", "CSV", "csv"],
  ["parquet", "Parquet", "parquet"],
  ["arrow", "Arrow stream", "arrows"],
  ["jsonl", "JSON lines", "jsonl"],
  ["json", "JSON", "json"],
  ["text", "Text table", "txt"],
];

/** The whole answer as a file. With a key the browser cannot load it by a link, so the page reads it and hands it over. */
export function Download({ query, size }: { query: string; size?: number | undefined }) {
  const [format, setFormat] = useState("csv");
  const [at, setAt] = useState<{ got: number; stop: AbortController } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const path = `v1/queries/${query}/results?format=${format}`;
  const name = `${query}.${FORMATS.find(([id]) => id === format)?.[2] ?? format}`;
  const load = async () => {
    const stop = new AbortController();
    setError(null);
    setAt({ got: 0, stop });
    try {
      const response = await persist(() => ask(path, { headers: { accept: "*/*" }, signal: stop.signal }), { signal: stop.signal });
      const chunks: BlobPart[] = [];
      let got = 0;
      const reader = response.body?.getReader();
      for (;;) {
        const piece = await reader?.read();
        if (!piece || piece.done) break;
        chunks.push(piece.value as BlobPart);
        got += piece.value.length;
        setAt({ got, stop });
      }
      const url = URL.createObjectURL(new Blob(chunks, { type: response.headers.get("content-type") ?? "" }));
      const anchor = document.createElement("a");
      anchor.href = url;
      anchor.download = name;
      anchor.click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (thrown) {
      if (!isAbort(thrown)) setError(thrown);
    } finally {
      setAt(null);
    }
  };
  return (
    <div class="download">
      <label>
        Download as
        <select value={format} onChange={(event) => setFormat(event.currentTarget.value)}>
          {FORMATS.map(([id, label]) => (
            <option key={id} value={id}>
              {label}
            </option>
          ))}
        </select>
      </label>
      {key() === null ? (
        <a class="button" href={address(path)} download={name}>
          Download
        </a>
      ) : at ? (
        <button type="button" onClick={() => at.stop.abort()}>
          Stop ({bytes(at.got)})
        </button>
      ) : (
        <button type="button" onClick={() => void load()}>
          Download
        </button>
      )}
      {size !== undefined && <span class="quiet">{bytes(size)} in the store</span>}
      {error !== null && <Trouble error={error} again={() => void load()} />}
    </div>
  );
}
