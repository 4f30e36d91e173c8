import { useState } from "preact/hooks";
import { askJson, locked, Problem, signIn } from "../api/client";
import { Trouble } from "../parts/problem";

/** Asks for a key, tries it, and keeps it for this tab. */
export function SignIn({ why }: { why: string }) {
  const [secret, setSecret] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setAsking(true);
    setError(null);
    signIn(secret.trim());
    try {
      await askJson("v1/status");
      locked.set({ isLocked: false, why: "" });
    } catch (thrown) {
      if (!(thrown instanceof Problem && thrown.status === 401)) setError(thrown);
    } finally {
      setAsking(false);
    }
  };
  return (
    <form class="sign-in" onSubmit={(event) => void submit(event)}>
      <h1>Sign in</h1>
      <p>This gateway wants an API key. The key is kept until this tab is closed, and is sent to this gateway only.</p>
      {why !== "" && (
        <p class="bad" role="alert">
          {why}
        </p>
      )}
      <label>
        API key
        <input
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          value={secret}
          onInput={(event) => setSecret(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="main" disabled={isAsking || secret.trim() === ""}>
        {isAsking ? "Asking…" : "Sign in"}
      </button>
      {error !== null && <Trouble error={error} />}
    </form>
  );
}
