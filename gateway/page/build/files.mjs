// Writes the list of the built files as Rust, so that the gateway embeds them: gateway/src/page/files.rs.
import { readdirSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "..", "dist");
const list = join(here, "..", "..", "src", "page", "files.rs");

const KINDS = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".md": "text/markdown; charset=utf-8",
};

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

/** A plugin of vite that runs after everything is written. */
export function listOfFiles() {
  return {
    name: "list-of-files",
    apply: "build",
    closeBundle() {
      const names = filesBelow(dist).map((path) => relative(dist, path).split(sep).join("/")).sort();
      const entries = names.map((name) => {
        const kind = KINDS[extname(name)];
        if (!kind) throw new Error(`no content type is known for ${name}`);
        const path = `../../page/dist/${name}`;
        return [
          "    Embedded {",
          `        name: "${name}",`,
          `        kind: "${kind}",`,
          `        bytes: include_bytes!("${path}"),`,
          "    },",
        ].join("\n");
      });
      const text = [
        "//! The files of the page. `npm run build` in gateway/page writes this list; `scripts/page check` compares it.",
        "",
        "use super::Embedded;",
        "",
        "pub(super) const FILES: &[Embedded] = &[",
        ...entries,
        "];",
        "",
      ].join("\n");
      writeFileSync(list, text);
    },
  };
}
