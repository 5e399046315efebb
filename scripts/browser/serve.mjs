// Looks at the public page of a real `ktaudit serve` in Chromium: what is new comes by events, through
// the server as it is, with its timeouts and headers. The Go test in cmd/ktaudit/browser_test.go
// starts it.
import { ask, axeOf, browser, expect, test, visit, world } from './harness.mjs';

const { base, log, head } = world;

await test('a served page', async () => {
  const page = await visit(base);
  await page.waitForFunction(() => document.documentElement.dataset.following === 'events');
  await page.locator(`[data-namespace="${log}"] [data-field=head]`, { hasText: String(head) }).first().waitFor();
  await axeOf(page, 'overview');
  await ask('epoch');
  await page.locator(`[data-namespace="${log}"] tr[data-epoch="${head + 1}"]`).first().waitFor({ timeout: 60_000 });
  await page.goto(`${base}logs/${log}/epochs/${head}/`);
  expect((await page.locator('#verdict').innerText()).includes('verified'), 'the epoch’s page does not say that it was verified');
});

await browser.close();
process.exit(process.exitCode ?? 0);
