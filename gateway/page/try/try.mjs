// The page in a real browser, over real processes: two gateways with keys behind a small proxy, and a worker.
//
//   node try/try.mjs --bin PATH [--dist] [--shots DIR] [--chromium PATH]
//
// Each step states what a user sees. A step that does not see it fails the run. On the way each view is read by axe
// (WCAG 2.2 A and AA), in light and dark, and photographed. Exit code 3: NOT TESTED, because the browser cannot be had.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Proxy } from "./proxy.mjs";
import { World } from "./world.mjs";

const NOT_TESTED = 3;
const SCALE = 0.05;
const SEE_MS = 30_000;
const LONG_MS = 90_000;
const MOST_GZIPPED = 300_000;
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

const here = dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
  options: {
    bin: { type: "string" },
    dist: { type: "boolean", default: false },
    shots: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
  },
});
const say = (text) => console.log(`page: ${text}`);

function notTested(why) {
  console.error(`page: NOT TESTED: ${why}`);
  process.exit(NOT_TESTED);
}

if (!options.bin || !existsSync(options.bin)) {
  console.error("page: error: --bin names no dunlin; cargo build --workspace makes one");
  process.exit(1);
}
if (!existsSync(options.chromium)) notTested(`${options.chromium} is missing; on Debian: apt-get install chromium`);
let chromium;
let axeSource;
try {
  ({ chromium } = await import("playwright-core"));
  axeSource = readFileSync(join(here, "..", "node_modules", "axe-core", "axe.min.js"), "utf8");
} catch (error) {
  notTested(`npm packages are missing (${error.message}); npm ci`);
}

const FINANCE = `select l_orderkey, sum(l_extendedprice * (1 - l_discount)) as revenue, o_orderdate, o_shippriority
from customer, orders, lineitem
where c_mktsegment = 'BUILDING' and c_custkey = o_custkey and l_orderkey = o_orderkey
  and o_orderdate < date '1995-03-15' and l_shipdate > date '1995-03-15'
group by l_orderkey, o_orderdate, o_shippriority
order by revenue desc, o_orderdate limit 10`;
const NATIONS = `select nation, o_year, sum(amount) as sum_profit from (
  select n_name as nation, extract(year from o_orderdate) as o_year,
         l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity as amount
  from part, supplier, lineitem, partsupp, orders, nation
  where s_suppkey = l_suppkey and ps_suppkey = l_suppkey and ps_partkey = l_partkey and p_partkey = l_partkey
    and o_orderkey = l_orderkey and s_nationkey = n_nationkey and p_name like '%green%') as profit
group by nation, o_year order by nation, o_year desc`;
const LONG = `select a.l_orderkey % 7 as k, count(*) as pairs, sum(a.l_quantity * b.l_quantity) as weight
from lineitem a join lineitem b on a.l_suppkey = b.l_suppkey and a.l_linenumber = b.l_linenumber
where a.l_quantity > 20 and b.l_quantity > 20
group by 1 order by 1`;
const ENDLESS = LONG.replace("and a.l_linenumber = b.l_linenumber", "").replace(/where.*\n/, "");
const BARS = "select o_orderpriority, count(*) as orders, sum(o_totalprice) as total from orders group by 1 order by 1";

const world = new World(options.bin);
const profile = mkdtempSync(join(tmpdir(), "dunlin-page-browser."));
let proxy;
let browser;
let failed = 0;
const began = Date.now();

async function step(name, one) {
  const at = Date.now();
  try {
    await one();
    say(`ok   ${name} (${((Date.now() - at) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    say(`FAIL ${name}: ${error.stack ?? error}`);
    if (options.shots) await page?.screenshot({ path: join(options.shots, `failed-${failed}.png`) }).catch(() => {});
  }
}

function must(condition, what) {
  if (!condition) throw new Error(what);
}

/** A request beside the browser. */
async function api(path, key, body, headers = {}) {
  const response = await fetch(`${origin}/${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response;
}

/** The bytes of an answer as they come, compressed. */
function raw(url) {
  return new Promise((resolve, reject) => {
    const asked = get(url, { headers: { "accept-encoding": "gzip", accept: "text/html,*/*" } }, (response) => {
      let bytes = 0;
      response.on("data", (piece) => (bytes += piece.length));
      response.on("end", () => resolve({ headers: response.headers, bytes }));
    });
    asked.on("error", reject);
  });
}

async function submit(key, sql, more = {}) {
  const response = await api("v1/queries", key, { sql, wait_timeout: "0s", ...more });
  must(response.status < 300, `a submit was answered ${response.status}`);
  return (await response.json()).query_id;
}

async function ended(key, id) {
  const end = Date.now() + LONG_MS;
  while (Date.now() < end) {
    const status = await (await api(`v1/queries/${id}?wait=10s`, key)).json();
    if (["SUCCEEDED", "FAILED", "CANCELLED"].includes(status.status)) return status;
  }
  throw new Error(`query ${id} did not end`);
}

/**
 * Nothing that axe finds against WCAG A and AA. Light on a desktop and dark on a phone cover both layouts and all colours; with
 * pictures, all four are looked at.
 */
async function look(name, { phone = true, at = "body" } = {}) {
  await page.mouse.move(0, 0);
  const sizes = phone ? [["desktop", DESKTOP], ["phone", PHONE]] : [["desktop", DESKTOP]];
  for (const [size, viewport] of sizes) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["light", "dark"]) {
      if (!options.shots && (size === "desktop") !== (colorScheme === "light")) continue;
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.evaluate(async (selector) => {
        document.querySelector(selector)?.scrollIntoView();
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      }, at);
      if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axeSource);
      const found = await page.evaluate(() =>
        globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }),
      );
      const wrong = found.violations.map((rule) => `${rule.id}: ${rule.nodes.map((node) => `${node.target.join(" ")} ${node.any.concat(node.all).map((check) => check.message).join("; ")}`).slice(0, 3).join(" | ")}`);
      must(wrong.length === 0, `${name}, ${size}, ${colorScheme}: axe: ${wrong.join("\n      ")}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      must(wide <= 0, `${name}, ${size}: the page is ${wide} px wider than the screen`);
      if (options.shots) {
        const path = join(options.shots, `${name}-${size}-${colorScheme}.png`);
        await page.screenshot({ path });
      }
    }
  }
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: "light" });
}

const go = (hash) => page.evaluate((to) => void (location.hash = to), hash);
const seen = (text, where = "body") => page.locator(where).getByText(text).first().waitFor({ timeout: SEE_MS });
const editor = () => page.locator(".editor .cm-content");

async function write(text) {
  await editor().click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText(text);
  await page.keyboard.press("Escape");
}

/** What the page must never do: load from elsewhere, break its policy, throw. */
const sins = [];

let page;
let origin;
try {
  const keys = world.prepare(SCALE);
  const first = await world.gateway("gateway-1");
  const second = await world.gateway("gateway-2");
  await world.worker("worker-1");
  proxy = new Proxy([first.url, second.url], options.dist ? join(here, "..", "dist") : null);
  origin = await proxy.open();
  if (options.shots) mkdirSync(options.shots, { recursive: true });
  try {
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: options.chromium,
      headless: true,
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
      viewport: DESKTOP,
      acceptDownloads: true,
      timezoneId: "UTC",
    });
  } catch (error) {
    notTested(`the browser does not start: ${error.message.split("\n")[0]}`);
  }
  page = await browser.newPage();
  page.setDefaultTimeout(SEE_MS);
  page.on("request", (asked) => {
    if (!asked.url().startsWith(origin) && !/^(blob|data|about):/.test(asked.url())) sins.push(`a request to ${asked.url()}`);
    if (Object.values(keys).some((key) => asked.url().includes(key))) sins.push("a key in an address");
  });
  page.on("pageerror", (error) => sins.push(`an exception: ${error.message}`));
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) sins.push(message.text());
  });

  await step("the page asks for a key, and refuses a wrong one", async () => {
    await page.goto(`${origin}/`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await look("sign-in");
    await page.getByLabel("API key").fill("dunlin_wrong");
    await page.keyboard.press("Enter");
    await seen("does not know this key");
  });

  await step("a key signs in, for this tab only, and is in no address", async () => {
    await page.getByLabel("API key").fill(keys.owner);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Queries", level: 1 }).waitFor();
    await seen("No query is known");
    const kept = await page.evaluate(() => [localStorage.length, Object.values(sessionStorage).join()]);
    must(kept[0] === 0 && kept[1].includes(keys.owner), "the key is not kept where it should be");
  });

  let endless;
  await step("the SQL box completes tables and columns, and runs a statement", async () => {
    await page.keyboard.press("Tab");
    await page.getByRole("link", { name: "SQL", exact: true }).focus();
    await page.keyboard.press("Enter");
    await editor().click();
    await page.keyboard.type("select o_orderpriority, count(*) as orders, sum(o_totalprice) as total from ord");
    await page.locator(".cm-tooltip-autocomplete li").getByText("orders").first().waitFor();
    // The list takes no key in its first moments, so that typing goes on undisturbed.
    await page.waitForFunction(() => document.querySelector(".editor").shadowRoot.querySelector(".cm-tooltip-autocomplete li[aria-selected]")?.textContent.includes("orders"));
    await page.locator(".cm-tooltip-autocomplete li").getByText("orders").first().click();
    await page.waitForRequest(/v1\/tables\/orders/).catch(() => {});
    await page.keyboard.type(" where o_ordersta");
    await page.locator(".cm-tooltip-autocomplete li").getByText("o_orderstatus").first().waitFor();
    await write(BARS);
    await page.keyboard.press("Control+Enter");
    await page.getByRole("table", { name: "Rows of the answer" }).waitFor();
    const expected = await (await api("v1/sql", keys.owner, { sql: BARS })).text();
    const cells = await page.locator(".grid-row [role=cell]").allTextContents();
    const words = [...expected.matchAll(/:("(?:[^"\\]|\\.)*"|[-\d.]+)/g)].map(([, value]) => value.replace(/^"|"$/g, ""));
    must(cells.length === 15 && cells.join("|") === words.join("|"), `the rows differ: ${cells.join("|")} and ${words.join("|")}`);
    await look("sql");
  });

  await step("a chart of the rows", async () => {
    await page.getByRole("button", { name: "Chart" }).click();
    await page.getByLabel("Up").selectOption({ label: "total" });
    await page.locator(".chart svg rect").nth(4).waitFor();
    await look("chart", { at: ".outcome" });
    for (const [kind, mark] of [["Line", ".chart-path"], ["Points", ".chart-point"]]) {
      await page.getByLabel("Kind").selectOption({ label: kind });
      await page.locator(mark).first().waitFor({ state: "attached" });
    }
  });

  await step("a download is the gateway's own answer", async () => {
    await page.getByRole("button", { name: "Rows", exact: true }).click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
    const text = readFileSync(await download.path(), "utf8");
    const expected = await (await api("v1/sql", keys.owner, { sql: BARS }, { accept: "text/csv" })).text();
    must(text === expected, "the file differs from the answer");
  });

  await step("digits are not lost, NaN is not NULL, and NULL is no empty text", async () => {
    await write("select 9007199254740993 as big, 0.1::decimal(20,10) as small, 'NaN'::double as nan, null::double as nothing, '' as empty, null::varchar as none");
    await page.keyboard.press("Control+Enter");
    await seen("9007199254740993", ".grid-body");
    const cells = await page.locator(".grid-row [role=cell]").allTextContents();
    must(cells.join("|") === "9007199254740993|0.1000000000|NaN|NULL||NULL", cells.join("|"));
  });

  await step("a large answer comes part by part, and only the rows in sight are in the page", async () => {
    const id = await submit(keys.owner, "select * from lineitem", { settings: { route: "fleet", target_partitions: 4 } });
    await ended(keys.owner, id);
    const parts = await (await api(`v1/queries/${id}/parts`, keys.owner)).json();
    must(parts.parts.length > 1, "the answer is too small to have parts");
    await go(`#/query/${id}/result`);
    const table = page.getByRole("table", { name: "Rows of the answer" });
    await table.waitFor();
    await page.getByRole("button", { name: "Show 5,000" }).click();
    await seen("5,000 rows of", ".grid-foot");
    await table.evaluate((frame) => frame.scrollTo(0, frame.scrollHeight));
    await page.locator(".grid-row").getByText("5000", { exact: true }).waitFor();
    must((await page.locator(".grid-row").count()) < 100, "too many rows are in the page");
    await page.getByLabel("Part").selectOption({ index: 1 });
    await table.evaluate((frame) => frame.scrollTo(0, 0));
    await page.locator(".grid-row").getByText(String(parts.parts[1].row_offset + 1), { exact: true }).waitFor();
    const text = await (await api(`v1/queries/${id}/results?part=1&row_limit=1&format=csv`, keys.owner)).text();
    const cells = await page.locator(".grid-row").first().locator("[role=cell]").allTextContents();
    must(cells.join(",") === text.split("\n")[1].replaceAll('"', ""), `the rows differ: ${cells.join(",")} and ${text}`);
    await go("#/sql");
    await editor().waitFor();
  });

  await step("EXPLAIN shows what a statement would cost before it runs", async () => {
    await write(FINANCE);
    await page.getByText("Settings, limits, tags").click();
    await page.getByLabel("Route").selectOption("fleet");
    await page.getByLabel("Partitions").fill("4");
    await page.getByLabel("Tags").fill("team:finance, job:nightly");
    await page.getByRole("button", { name: "Explain and estimate" }).click();
    await seen(/^\$0\.\d+ to \$0\.\d+$/, ".estimate");
    await look("explain");
  });

  await step("a mistake is shown where it is", async () => {
    await write("select o_orderkye\nfrom orders");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await seen("did you mean o_orderkey", ".trouble");
    await page.locator(".editor .cm-mistake").getByText("o_orderkye").waitFor();
    await look("mistake");
  });

  const ids = {};
  await step("the list shows states, tags, progress and cost, and filters", async () => {
    const fleet = { settings: { route: "fleet", target_partitions: 4 } };
    ids.nations = await submit(keys.analyst, NATIONS, { settings: { route: "fleet", target_partitions: 4, task_bytes: 0 }, tags: { team: "supply", job: "nightly" } });
    ids.finance = await submit(keys.analyst, FINANCE, { ...fleet, tags: { team: "finance" } });
    ids.failed = await submit(keys.analyst, "select cast(n_name as int) as n from nation", { ...fleet, tags: { team: "finance" } });
    for (const id of [ids.nations, ids.finance, ids.failed]) await ended(keys.analyst, id);
    endless = await submit(keys.owner, ENDLESS, { settings: { route: "fleet", target_partitions: 8, task_bytes: 0 }, tags: { team: "research" } });
    await go("#/queries");
    await page.locator(".list .state-running").first().waitFor();
    await page.locator(".list .state-failed").first().waitFor();
    await page.locator(".list td").getByText(/^\$0\.\d+/).first().waitFor();
    await look("queries");
    await page.getByLabel("State").selectOption("failed");
    await page.waitForFunction(() => document.querySelectorAll(".list tbody tr").length === 1);
    await page.getByLabel("State").selectOption("all");
    await page.getByLabel("Tag").fill("team:finance");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelectorAll(".list tbody tr").length === 2);
    must(page.url().includes("tag=team%3Afinance"), "a filter can be linked to");
  });

  await step("a running query shows its progress, and is cancelled in two steps", async () => {
    await go(`#/query/${endless}`);
    await page.locator(".head .state-running").waitFor();
    await page.locator(".graph-text").first().waitFor();
    await look("running");
    await go(`#/query/${endless}/tasks`);
    await page.getByRole("heading", { name: "Under way" }).waitFor();
    await page.getByRole("button", { name: "Cancel query" }).click();
    await page.keyboard.press("Enter");
    await page.locator(".head .state-cancelled").waitFor();
    must((await ended(keys.owner, endless)).status === "CANCELLED", "the query is not cancelled");
  });

  await step("the stages of a query, with rows and bytes on the edges", async () => {
    await go(`#/query/${ids.nations}`);
    await page.locator(".graph-box").nth(3).waitFor();
    const profile = await (await api(`v1/queries/${ids.nations}/profile`, keys.owner)).json();
    must((await page.locator(".graph-box").count()) === profile.stages.length, "each stage has a box");
    const rows = profile.stages.find((stage) => stage.stage === 0).totals.rows;
    await seen(`${rows.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",")} rows`, ".graph");
    await look("stages");
  });

  await step("the tasks of a query, its skew, and each attempt", async () => {
    await page.getByRole("tab", { name: "Tasks" }).click();
    await page.locator(".timeline tbody tr").nth(3).waitFor();
    const profile = await (await api(`v1/queries/${ids.nations}/profile`, keys.owner)).json();
    const tasks = profile.stages.flatMap((stage) => stage.task_list ?? []).length;
    must((await page.locator(".timeline tbody tr").count()) === Math.min(300, tasks), "each task has a row");
    await look("tasks");
    await look("timeline", { at: ".timeline" });
  });

  await step("what a query has cost, and what was expected", async () => {
    await page.getByRole("tab", { name: "Cost" }).click();
    await page.getByRole("button", { name: "Compare with the estimate" }).click();
    await page.locator(".estimate").waitFor();
    const total = (await (await api(`v1/queries/${ids.nations}`, keys.owner)).json()).receipt.cost_usd.total;
    const shown = await page.locator(".panel h2").first().textContent();
    // Each look at a query costs the gateway requests, which its receipt counts.
    must(Math.abs(Number(/\$([\d.]+)/.exec(shown)[1]) - total) / total < 0.1, `${shown} is not ${total}`);
    await look("cost");
  });

  await step("the statement and the plan, drawn and as text", async () => {
    await page.getByRole("tab", { name: "SQL" }).click();
    await page.locator(".panel .code").getByText("ps_supplycost").first().waitFor();
    await look("statement");
    await page.getByRole("tab", { name: "Plan" }).click();
    await page.locator(".plan-stage").nth(3).waitFor();
    await page.locator(".plan-stage summary").first().click();
    await page.locator(".tree-node").first().waitFor();
    await look("plan");
    await page.getByRole("button", { name: "Text" }).click();
    await page.locator(".code").getByText("ExchangeReaderExec").first().waitFor();
  });

  await step("rows of a query that is linked to, also after a reload", async () => {
    await go(`#/query/${ids.nations}/result`);
    await page.reload();
    await page.getByRole("table", { name: "Rows of the answer" }).waitFor();
    const parts = await (await api(`v1/queries/${ids.nations}/parts`, keys.owner)).json();
    const rows = await page.getByRole("table", { name: "Rows of the answer" }).getAttribute("aria-rowcount");
    must(Number(rows) === parts.rows + 1, `${rows} rows of ${parts.rows}`);
    await look("result");
  });

  await step("why a query failed", async () => {
    await go(`#/query/${ids.failed}`);
    await page.getByRole("tab", { name: "Error" }).waitFor();
    await seen("TRY_CAST", ".trouble");
    await page.getByText("What this code means").click();
    await look("error");
    await page.getByRole("link", { name: "Retry with…" }).click();
    await editor().getByText("cast").waitFor();
    const settings = await page.locator(".settings summary").textContent();
    must(settings.includes("fleet · 4 partitions · team:finance"), `the settings are not handed over: ${settings}`);
  });

  await step("a query of nobody is not found", async () => {
    await go("#/query/01a22b5a-6070-72c5-ab3d-99b1502bfa17");
    await seen("NOT_FOUND", ".trouble");
  });

  await step("EXPLAIN ANALYZE in the SQL box is the gateway's answer", async () => {
    await go("#/sql");
    await write("explain analyze select count(*) as n from lineitem");
    await page.keyboard.press("Control+Enter");
    await seen("analyzed_plan", ".outcome");
    await go("#/query/..%2Fwake");
    await page.getByRole("heading", { name: "There is no such view" }).waitFor();
    must(!proxy.seen.some((line) => line.includes("/v1/wake") || line.includes("/v1/queries/..")), "an address became a request");
  });

  await step("the fleet", async () => {
    await go("#/fleet");
    await page.getByRole("heading", { name: "Fleet" }).waitFor();
    await page.getByRole("group", { name: "Workers", exact: true }).locator("tbody tr").first().waitFor();
    await look("fleet");
  });

  await step("everything works with the keyboard", async () => {
    await go("#/queries");
    await page.locator(".list tbody tr").nth(2).waitFor();
    await page.evaluate(() => document.body.focus());
    await page.reload();
    await page.locator(".list tbody tr").nth(2).waitFor();
    await page.keyboard.press("Tab");
    must((await page.evaluate(() => document.activeElement.textContent.trim())) === "Skip to the content", "Tab begins with the skip link");
    await page.keyboard.press("Enter");
    must((await page.evaluate(() => document.activeElement.id)) === "main", "the skip link leads to the content");
    let tabs = 0;
    while (!(await page.evaluate(() => document.activeElement.matches(".statement > a")))) {
      must((tabs += 1) < 20, "Tab does not come to the first query");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.locator("[role=tab][aria-selected=true]").waitFor();
    while (!(await page.evaluate(() => document.activeElement.matches("[role=tab]")))) {
      must((tabs += 1) < 60, "Tab does not come to the tabs");
      await page.keyboard.press("Tab");
    }
    const before = page.url();
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction((url) => location.href !== url, before);
    must(await page.evaluate(() => document.activeElement.matches("[role=tab][aria-selected=true]")), "arrows move between tabs");
    // Tab leaves the SQL box.
    await go("#/sql");
    await editor().click();
    await page.keyboard.press("Tab");
    must(!(await page.evaluate(() => document.activeElement.matches(".editor"))), "Tab does not leave the SQL box");
  });

  await step("a gateway dies while a query runs: the page says so, another one answers, and no row is lost", async () => {
    const id = await submit(keys.owner, LONG, { settings: { route: "fleet", target_partitions: 8, task_bytes: 0 } });
    await go(`#/query/${id}`);
    await page.locator(".head .state-running").waitFor();
    await page.locator(".graph-text").first().waitFor();
    const before = proxy.seen.length;
    first.child.kill("SIGKILL");
    await page.locator(".banner-lost, .banner-another").waitFor();
    await page.locator(".banner-another").waitFor();
    await look("another-gateway", { phone: false });
    await page.locator(".head .state-succeeded").waitFor({ timeout: LONG_MS });
    const goesOn = proxy.seen.slice(before).some((line) => line.startsWith(`GET /v1/queries/${id}/events after `));
    must(goesOn, "the events are not taken up where they broke off");
    await page.getByRole("tab", { name: "Result" }).click();
    await page.getByRole("table", { name: "Rows of the answer" }).waitFor();
    const cells = await page.locator(".grid-row [role=cell]").allTextContents();
    const inline = await (await api("v1/sql", keys.owner, { sql: LONG, settings: { route: "inline" } }, { prefer: "wait=120" })).text();
    const words = [...inline.matchAll(/:([-\d.]+)/g)].map(([, value]) => value);
    must(words.length === 21 && cells.join("|") === words.join("|"), `the rows differ: ${cells.join("|")} and ${words.join("|")}`);
    await page.getByRole("button", { name: "Dismiss" }).click();
  });

  await step("a key without the scope is told so; a key sees its own queries only", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").fill(keys.watcher);
    await page.keyboard.press("Enter");
    await page.getByRole("tab", { name: "Result" }).waitFor();
    await go("#/sql");
    await write("select 1 as n");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await seen("FORBIDDEN", ".trouble");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").fill(keys.analyst);
    await page.keyboard.press("Enter");
    await editor().waitFor();
    await go("#/queries");
    await page.waitForFunction(() => document.querySelectorAll(".list tbody tr").length === 3);
  });

  await step("the page breaks no rule of its own", async () => {
    must(sins.length === 0, sins.join("\n      "));
    const text = await (await fetch(`${origin}/`)).text();
    must(!/<script(?![^>]*\bsrc=)/.test(text) && !/\son\w+=/.test(text), "the document has inline scripts");
    const assets = [...new Set(proxy.seen.filter((line) => line.includes("/assets/")).map((line) => line.split(" ")[1]))];
    let size = 0;
    for (const path of [...assets, "/"]) {
      const { headers, bytes } = await raw(`${origin}${path}`);
      must(headers["content-encoding"] === "gzip", `${path} is not compressed`);
      const policy = headers["content-security-policy"] ?? "";
      must(path !== "/" || (policy.includes("script-src 'self'") && !policy.includes("unsafe")), `the policy is ${policy}`);
      must(headers["x-content-type-options"] === "nosniff", `${path} may be sniffed`);
      must(/^"[^"]+"$/.test(headers.etag ?? ""), `${path} has no strong ETag`);
      size += bytes;
    }
    must(size > 10_000 && size < MOST_GZIPPED, `the page has ${size} bytes gzipped`);
    const problem = await fetch(`${origin}/`, { headers: { accept: "application/json" } });
    must(options.dist || problem.status === 404 || problem.status === 401, "a program that asks for JSON gets a document");
    say(`     ${size} bytes gzipped, all views`);
  });

  await step("no process met a defect, and no key is in a log", async () => {
    must(world.defects().length === 0, world.defects().join("\n      "));
    must(!world.logsHave(Object.values(keys)), "a key is in a log");
  });
} catch (error) {
  failed += 1;
  say(`FAIL ${error.stack ?? error}`);
} finally {
  await browser?.close().catch(() => {});
  proxy?.close();
  await world.stop();
  rmSync(profile, { recursive: true, force: true });
}
say(failed === 0 ? `all steps passed in ${((Date.now() - began) / 1000).toFixed(0)} s` : `${failed} steps failed`);
process.exit(failed === 0 ? 0 : 1);
