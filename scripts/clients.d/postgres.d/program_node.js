// node-postgres: queries, parameters, named statements, errors, a pool, SCRAM over TLS.
"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const { Client, Pool } = require("pg");

const [port, keysPort, ca, key] = process.argv.slice(2);

async function main() {
  const client = new Client({ host: "127.0.0.1", port: Number(port), user: "tests", database: "dunlin" });
  const notices = [];
  client.on("notice", (notice) => notices.push(notice.message));
  await client.connect();
  let found = await client.query("select count(*) as n from orders");
  assert.deepStrictEqual(found.rows, [{ n: "15000" }]);
  found = await client.query("select n_name from nation where n_nationkey = $1 and n_name <> $2", [3, "x"]);
  assert.deepStrictEqual(found.rows, [{ n_name: "CANADA" }]);
  const named = { name: "by key", text: "select o_orderdate, o_totalprice from orders where o_orderkey = $1" };
  for (const number of [1, 2, 3]) {
    found = await client.query({ ...named, values: [number] });
    assert.strictEqual(found.rows.length, 1);
    assert.ok(found.rows[0].o_orderdate instanceof Date);
  }
  found = await client.query("select $1::text as nothing, [1, 2] as list, true as yes", [null]);
  assert.deepStrictEqual(found.rows, [{ nothing: null, list: ["1", "2"], yes: true }]);
  await assert.rejects(client.query("select nothing from orders"), (error) => error.code === "42703");
  await client.query("begin");
  await assert.rejects(client.query("select $1::int", ["x"]), (error) => error.code === "22P02");
  await client.query("rollback");
  await client.query("set dunlin.route = 'fleet'");
  found = await client.query("select count(*) as n from lineitem");
  assert.ok(Number(found.rows[0].n) > 60000);
  assert.ok(notices.some((notice) => notice.includes("fleet")), notices.join("\n"));
  await client.end();

  const pool = new Pool({ host: "127.0.0.1", port: Number(port), user: "tests", database: "dunlin", max: 4 });
  const answers = await Promise.all([...Array(20).keys()].map((n) => pool.query("select $1::bigint as n", [n])));
  assert.deepStrictEqual(answers.map((answer) => Number(answer.rows[0].n)), [...Array(20).keys()]);
  await pool.end();

  const secret = new Client({
    host: "localhost", port: Number(keysPort), user: "ci", password: key, database: "dunlin",
    ssl: { ca: fs.readFileSync(ca, "utf8") },
  });
  await secret.connect();
  found = await secret.query("select current_user as me");
  assert.deepStrictEqual(found.rows, [{ me: "ci" }]);
  await secret.end();
  console.log("ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
