// handleSummary of all scenarios: summary.json, summary.md, and a short text on the terminal.
import { GATEWAYS, OUT, SCALE, SIZE, SLACK } from './env.js';

// `export const handleSummary = summary('smoke', Object.keys(CLASSES));`
//
// `more.seconds` says how long the load of a class lasted, where that is not the whole run. `more.judge(result, data)`
// may return { lines: [text of the report], failures: [why the run failed] } for what no threshold can say.
export function summary(scenario, classes, more = {}) {
  return (data) => {
    const result = collect(scenario, classes, data, more.seconds || {});
    Object.assign(result, { lines: [], failures: [] }, more.judge ? more.judge(result, data) : {});
    return {
      [`${OUT}/summary.json`]: `${JSON.stringify(result, null, 2)}\n`,
      [`${OUT}/summary.md`]: markdown(result),
      stdout: text(result),
    };
  };
}

function values(data, name) {
  const metric = data.metrics[name];
  return metric === undefined ? {} : metric.values;
}

function countOf(data, name) {
  return values(data, name).count || 0;
}

// Counts by the value of a tag, without those of zero.
function byTag(data, metric, tag) {
  const found = {};
  for (const name of Object.keys(data.metrics)) {
    const match = new RegExp(`^${metric}\\{${tag}:([^}]*)\\}$`).exec(name);
    if (match !== null && countOf(data, name) > 0) found[match[1]] = countOf(data, name);
  }
  return found;
}

function thresholdsOf(data) {
  const found = [];
  for (const metric of Object.keys(data.metrics)) {
    const own = data.metrics[metric].thresholds || {};
    for (const rule of Object.keys(own)) {
      // These hold always: they make k6 report the tag.
      if (rule.endsWith('>=0')) continue;
      found.push({ metric, rule, ok: own[rule].ok });
    }
  }
  return found;
}

function classFigures(data, name, seconds) {
  const ms = values(data, `query_ms{class:${name}}`);
  const right = countOf(data, `answered{class:${name}}`);
  return {
    answered: right,
    per_s: seconds > 0 ? right / seconds : 0,
    refused: countOf(data, `refused{class:${name}}`),
    p50_ms: ms.med,
    p95_ms: ms['p(95)'],
    p99_ms: ms['p(99)'],
    max_ms: ms.max,
  };
}

function collect(scenario, classes, data, lasted) {
  const seconds = data.state.testRunDurationMs / 1000;
  const figures = {};
  for (const name of classes) figures[name] = classFigures(data, name, lasted[name] || seconds);
  const priced = countOf(data, 'priced_queries');
  return {
    scenario,
    size: SIZE,
    scale: SCALE,
    gateways: GATEWAYS.length,
    slack: SLACK,
    seconds,
    classes: figures,
    answered: countOf(data, 'answered'),
    wrong: countOf(data, 'wrong_results'),
    lost: countOf(data, 'lost_queries'),
    failed: countOf(data, 'failed_queries'),
    refused: countOf(data, 'refused'),
    refused_without_retry_after: countOf(data, 'bad_refusals'),
    problems: countOf(data, 'problems'),
    unreachable: countOf(data, 'unreachable'),
    repeated_attempts: countOf(data, 'repeated_attempts'),
    given_up: countOf(data, 'given_up'),
    dropped_iterations: countOf(data, 'dropped_iterations'),
    errors: byTag(data, 'errors', 'code'),
    store_requests: byTag(data, 'store_requests', 'op'),
    cost_usd: priced > 0 ? { total: countOf(data, 'cost_usd'), queries: priced } : null,
    checks: checksOf(data.root_group),
    thresholds: thresholdsOf(data),
    metrics: data.metrics,
  };
}

function checksOf(group) {
  const own = group.checks.map((check) => ({ name: check.name, passes: check.passes, fails: check.fails }));
  return group.groups.reduce((all, inner) => all.concat(checksOf(inner)), own);
}

// --- text -----------------------------------------------------------------------------------------------

function ms(value) {
  return value === undefined ? '-' : value < 100 ? value.toFixed(1) : value.toFixed(0);
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function classTable(result) {
  const rows = Object.keys(result.classes).map((name) => {
    const c = result.classes[name];
    return [name, c.answered, c.per_s.toFixed(2), ms(c.p50_ms), ms(c.p95_ms), ms(c.p99_ms), ms(c.max_ms), c.refused];
  });
  return table(['class', 'answered', 'queries/s', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms', 'refused'], rows);
}

function countTable(result) {
  const codes = Object.keys(result.errors).map((code) => `${code} ${result.errors[code]}`);
  const rows = [
    ['answers that were wrong', result.wrong],
    ['accepted queries that were lost', result.lost],
    ['accepted queries that failed', result.failed],
    ['refused with Retry-After', result.refused - result.refused_without_retry_after],
    ['refused without Retry-After', result.refused_without_retry_after],
    ['requests without an answer', result.unreachable],
    ['attempts of tasks that ran again', result.repeated_attempts],
    ['given up after all tries', result.given_up],
    ['iterations that k6 could not start', result.dropped_iterations],
    ['answers that were errors and no refusals', result.problems],
    ['errors by code', codes.length === 0 ? 'none' : codes.join(', ')],
  ];
  const requests = Object.keys(result.store_requests).map((op) => {
    const each = result.answered > 0 ? result.store_requests[op] / result.answered : 0;
    return `${op} ${each.toFixed(1)}`;
  });
  if (requests.length > 0) rows.push(['store requests per answered query', requests.join(', ')]);
  if (result.cost_usd !== null) {
    rows.push(['dollars per priced query', (result.cost_usd.total / result.cost_usd.queries).toFixed(6)]);
  }
  return table(['', ''], rows);
}

function markdown(result) {
  const parts = [
    `# ${result.scenario}`,
    `Size ${result.size}, TPC-H scale ${result.scale}, ${result.gateways} gateways, ${result.seconds.toFixed(1)} s, ` +
      `thresholds of latency times ${result.slack}.`,
    classTable(result),
    countTable(result),
    ...result.lines,
    ...result.failures.map((failure) => `**Failed:** ${failure}`),
  ];
  if (result.checks.length > 0) {
    parts.push('## Checks', table(['check', 'held', 'failed'], result.checks.map((c) => [c.name, c.passes, c.fails])));
  }
  const rules = result.thresholds.map((t) => [`\`${t.metric}\``, `\`${t.rule}\``, t.ok ? 'held' : '**broken**']);
  parts.push('## Thresholds', table(['metric', 'rule', ''], rules));
  return `${parts.join('\n\n')}\n`;
}

function text(result) {
  const head = `\n${result.scenario}: ${result.answered} right answers in ${result.seconds.toFixed(1)} s`;
  const lines = [head, classTable(result), ...result.lines, ...result.failures];
  lines.push(`wrong ${result.wrong}, lost ${result.lost}, failed ${result.failed}, refused ${result.refused}`);
  const failed = result.checks.filter((check) => check.fails > 0);
  for (const check of failed) lines.push(`check failed ${check.fails} times: ${check.name}`);
  const broken = result.thresholds.filter((t) => !t.ok);
  for (const t of broken) lines.push(`threshold broken: ${t.metric} ${t.rule}`);
  if (broken.length === 0) lines.push('all thresholds held');
  return `${lines.join('\n')}\n`;
}
