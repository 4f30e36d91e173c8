import { useEffect, useRef, useState } from "preact/hooks";
import { askJson, persist } from "../api/client";
import { Trouble } from "./problem";

/** Cancelling cannot be undone, so it takes two steps. */
export function Cancel({ id, onDone }: { id: string; onDone?: () => void }) {
  const [step, setStep] = useState<"idle" | "sure?" | "asked">("idle");
  const [error, setError] = useState<unknown>(null);
  const sure = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (step === "sure?") sure.current?.focus();
  }, [step]);
  const cancel = async () => {
    setStep("asked");
    setError(null);
    try {
      await persist(() => askJson(`v1/queries/${id}/cancel`, { method: "POST" }));
      onDone?.();
    } catch (thrown) {
      setError(thrown);
      setStep("idle");
    }
  };
  return (
    <span class="cancel">
      {step === "idle" && (
        <button type="button" onClick={() => setStep("sure?")}>
          Cancel query
        </button>
      )}
      {step === "sure?" && (
        <>
          <button type="button" class="danger" ref={sure} onClick={() => void cancel()}>
            Yes, cancel it
          </button>
          <button type="button" onClick={() => setStep("idle")}>
            Let it run
          </button>
        </>
      )}
      {step === "asked" && <span role="status">Cancelling…</span>}
      {error !== null && <Trouble error={error} />}
    </span>
  );
}
