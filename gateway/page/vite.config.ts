import { defineConfig } from "vite";
import { listOfFiles } from "./build/files.mjs";

// The addresses are relative, so that the page works behind a proxy that adds a prefix. Nothing is inlined: the gateway
// forbids inline scripts and `data:` addresses.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // What the page contains of others, with their licences.
    license: { fileName: "assets/licenses.md" },
    rolldownOptions: {
      output: {
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  plugins: [listOfFiles()],
  // `npm run dev` against a running gateway: DUNLIN_URL=http://127.0.0.1:8090
  server: { proxy: { "/v1": process.env["DUNLIN_URL"] ?? "http://127.0.0.1:8090" } },
});
