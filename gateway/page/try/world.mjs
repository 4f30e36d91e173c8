// A world for the page: a small lake, two gateways with keys, a worker, all on loopback and in a folder that is removed.
import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, openSync, closeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const READY_MS = 60_000;

export class World {
  constructor(bin) {
    this.bin = bin;
    this.folder = mkdtempSync(join(tmpdir(), "dunlin-page."));
    this.processes = [];
  }

  command(...args) {
    return execFileSync(this.bin, args, { cwd: this.folder, encoding: "utf8" });
  }

  /** Makes the data and the configuration; returns the keys by name. */
  prepare(scale) {
    this.command("tpch", "--scale", String(scale), "--files", "4", "--output", "lake");
    this.command("init", "lake");
    const keys = {};
    const config = join(this.folder, "dunlin.toml");
    appendFileSync(config, '\n[prices]\nregion = "us-east-1"\n\n[prices.container]\nvcpu = 1\nmemory_gb = 2\n');
    for (const [name, scopes] of [
      ["analyst", "query"],
      ["watcher", "admin"],
      ["owner", "query,admin"],
    ]) {
      const printed = this.command("key", "new", "--name", name, "--scopes", scopes);
      const block = printed.slice(printed.indexOf("[[gateway.keys]]"));
      const lines = block.split("\n").filter((line) => /^(\[\[|name|sha256|scopes)/.test(line));
      const secret = /\bdunlin_[A-Za-z0-9_-]+|\b[A-Za-z0-9_-]{40,}\b/.exec(printed.slice(0, printed.indexOf("[[gateway.keys]]")));
      if (lines.length < 4 || !secret) throw new Error(`a new key was printed in another form than expected`);
      appendFileSync(config, `\n${lines.join("\n")}\n`);
      keys[name] = secret[0];
    }
    return keys;
  }

  async start(name, ...args) {
    const out = join(this.folder, `${name}.out`);
    const log = join(this.folder, `${name}.log`);
    const [outFile, logFile] = [openSync(out, "w"), openSync(log, "w")];
    const child = spawn(this.bin, args, { cwd: this.folder, stdio: ["ignore", outFile, logFile] });
    closeSync(outFile);
    closeSync(logFile);
    const process = { name, child, log };
    this.processes.push(process);
    return { ...process, out };
  }

  async gateway(name) {
    const { child, out, log } = await this.start(name, "gateway", "--config", "dunlin.toml", "--http", "127.0.0.1:0");
    const end = Date.now() + READY_MS;
    for (;;) {
      const url = /listening on (\S+)/.exec(readFileSync(out, "utf8"))?.[1];
      if (url) return { name, url, child };
      if (child.exitCode !== null || Date.now() > end) throw new Error(`${name} does not listen: ${readFileSync(log, "utf8").slice(-2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  worker(name) {
    return this.start(name, "worker", "--config", "dunlin.toml");
  }

  /** What the processes wrote that is a defect. */
  defects() {
    return this.processes.flatMap(({ name, log }) =>
      readFileSync(log, "utf8")
        .split("\n")
        .filter((line) => /panicked at|\bERROR\b/.test(line))
        .map((line) => `${name}: ${line}`),
    );
  }

  /** Whether any of the texts stands in a log. */
  logsHave(secrets) {
    return this.processes.some(({ log }) => secrets.some((secret) => readFileSync(log, "utf8").includes(secret)));
  }

  async stop() {
    for (const { child } of this.processes) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
