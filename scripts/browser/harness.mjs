// What the tests of the public page share: a browser, pages that are watched, and a way to have the
// Go test that started this program do something. See internal/testservers/browser.go.
import { createRequire } from 'node:module';
import readline from 'node:readline';

/** The Go test says it all as JSON in the environment: addresses, epochs, where things are. */
export const world = JSON.parse(process.env.KTAUDIT_BROWSER_TEST);

const require = createRequire(`${world.packages}/`);
const { chromium } = require('playwright-core');
const axe = require('axe-core');

export const browser = await chromium.launch({
  executablePath: world.chromium, timeout: 120_000,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--disable-dev-shm-usage'],
});

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** ask has the Go test do something, and waits until it did. */
export async function ask(what) {
  console.log(`do ${what}`);
  const { value } = await answers.next();
  if (value !== 'done') throw new Error(`${what}: ${value}`);
}

export function expect(condition, what) {
  if (!condition) throw new Error(what);
}

const problems = [];
let now = '';

/**
 * visit opens a page with eyes on it: a request to another host, a breach of the policy, a script's
 * error and an answer that is none each fail the test.
 */
export async function visit(url, { phone = false, dark = false, ...options } = {}) {
  const context = await browser.newContext({
    viewport: phone ? { width: 320, height: 700 } : { width: 1280, height: 860 },
    colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'Europe/Berlin', serviceWorkers: 'block', ...options,
  });
  context.setDefaultTimeout(45_000); // on a machine that is busy
  const page = await context.newPage();
  page.received = 0;
  page.expected = new Set(); // statuses of answers that the test wants
  await context.route((u) => !world.origins.includes(u.origin), (route) => {
    problems.push(`${now}: a request to ${route.request().url()}`);
    return route.abort();
  });
  page.on('pageerror', (e) => problems.push(`${now}: ${e.message}`));
  page.on('console', (m) => {
    if (m.type() === 'error' && !/Failed to load resource/.test(m.text())) problems.push(`${now}: ${m.text()}`);
  });
  page.on('response', async (r) => {
    if (r.status() >= 400 && !page.expected.has(r.status())) problems.push(`${now}: ${r.status()} for ${r.url()}`);
  });
  page.on('requestfinished', async (r) => { page.received += (await r.sizes().catch(() => null))?.responseBodySize ?? 0; });
  await page.goto(url);
  return page;
}

/** axeOf fails for whatever axe-core finds, of all its rules or of some. */
export async function axeOf(page, name, rules) {
  await page.evaluate(axe.source);
  const found = await page.evaluate((only) => window.axe.run(document, { resultTypes: ['violations'], ...(only && { runOnly: only }) }), rules);
  const wrong = found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.html.slice(0, 160)} ${n.failureSummary}`).join('; ')}`);
  expect(wrong.length === 0, `axe-core on ${name}: ${wrong.join('\n')}`);
}

/** test runs one scenario and says how it went, for the Go test to read. */
export async function test(name, run) {
  now = name;
  const began = performance.now();
  try {
    await run();
    if (problems.length) throw new Error(problems.join('\n'));
    console.log(`ok ${name} ${Math.round(performance.now() - began)} ms`);
  } catch (e) {
    console.log(`FAILED ${name}: ${(e.stack ?? String(e)).replaceAll('\n', '\n  ')}`);
    process.exitCode = 1;
  }
  problems.length = 0;
  for (const context of browser.contexts()) await context.close();
}

/** figure tells of a number that was measured. */
export const figure = (text) => console.log(`figure ${text}`);

export async function screenshot(page, name, options = {}) {
  if (!world.screenshots) return;
  await page.screenshot({ path: `${world.screenshots}/${name}.png`, animations: 'disabled', ...options });
}
