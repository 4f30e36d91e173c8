import type { Word } from "../api/types";

const NAMES: Record<Word, string> = {
  PENDING: "pending",
  RUNNING: "running",
  SUCCEEDED: "succeeded",
  FAILED: "failed",
  CANCELLED: "cancelled",
};

/** Each state has a shape and a word; colour only adds to them. */
const SHAPES: Record<Word, preact.JSX.Element> = {
  PENDING: <circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2.5" />,
  RUNNING: <path d="M4.5 2.5v11l9-5.5z" fill="currentColor" />,
  SUCCEEDED: <path d="M2.5 8.5l3.7 3.7 7.3-8" fill="none" stroke="currentColor" stroke-width="2.4" />,
  FAILED: <path d="M3.5 3.5l9 9m0-9l-9 9" fill="none" stroke="currentColor" stroke-width="2.4" />,
  CANCELLED: <rect x="3" y="3" width="10" height="10" fill="none" stroke="currentColor" stroke-width="2.2" />,
};

export function State({ word }: { word: Word }) {
  return (
    <span class={`state state-${word.toLowerCase()}`}>
      <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true">
        {SHAPES[word] ?? null}
      </svg>
      {NAMES[word] ?? word}
    </span>
  );
}

/** How much of something is done. Without a whole there is only the text. */
export function Meter({ done, whole, label }: { done: number; whole: number; label: string }) {
  const share = whole > 0 ? Math.min(1, done / whole) : 0;
  return (
    <span class="meter" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={whole} aria-valuenow={done}>
      <span class="meter-fill" style={{ width: `${share * 100}%` }} />
    </span>
  );
}
