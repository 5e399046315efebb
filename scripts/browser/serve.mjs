// Looks at the public page of a real `ktaudit serve` in Chromium, and at what `ktaudit publish` writes
// of it. What is new comes by events, through the server as it is, with its timeouts and headers. The
// Go test in cmd/ktaudit/browser_test.go starts it.
import { ask, axeOf, browser, expect, test, visit, world } from './harness.mjs';

const { base, log, head } = world;
const epochPage = (root, n) => `${root}logs/${log}/epochs/${n}/`;

/** checks has the browser check the verdict of an epoch. */
async function checks(page) {
  await page.locator('[data-action=check]').click();
  await page.locator('[data-check][data-outcome=good]').waitFor();
}

await test('a served page', async () => {
  const page = await visit(base);
  await page.waitForFunction(() => document.documentElement.dataset.following === 'events');
  await page.locator(`[data-namespace="${log}"] [data-field=head]`, { hasText: String(head) }).first().waitFor();
  await axeOf(page, 'overview');
  await ask('epoch');
  await page.locator(`[data-namespace="${log}"] tr[data-epoch="${head + 1}"]`).first().waitFor({ timeout: 60_000 });
  await page.goto(epochPage(base, head));
  await checks(page);
});

await test('published as files', async () => {
  await ask('publish');
  // The same words, but for how long ago something was.
  const plain = await visit('about:blank', { javaScriptEnabled: false });
  const words = async (url) => {
    await plain.goto(url);
    return (await plain.locator('main').innerText()).replace(/\s+/g, ' ').replace(/\b\d+(ms|s|m)\b/g, 'SOME');
  };
  for (const path of ['', `logs/${log}/`, `logs/${log}/epochs/${head}/`, 'incidents/', 'search/']) {
    const served = await words(base + path), published = await words(world.static + path);
    expect(served === published, `${path} differs:\n${served}\n${published}`);
  }
  const page = await visit('about:blank');
  page.expected.add(404); // there are no events
  await page.goto(world.static);
  await page.waitForFunction(() => document.documentElement.dataset.following === 'poll');
  await axeOf(page, 'the published overview');
  // The strip goes as far as the files do, and to the pages that there are.
  await page.goto(`${world.static}logs/${log}/`);
  await page.waitForFunction(() => document.querySelector('figure.strip').dataset.drawn);
  await page.locator('svg.strip').focus();
  await page.keyboard.press('End');
  await Promise.all([page.waitForURL(/\/epochs\/\d+\/$/), page.keyboard.press('Enter')]);
  await page.goto(epochPage(world.static, head));
  await axeOf(page, 'a published epoch');
  await checks(page);
});

await browser.close();
process.exit(process.exitCode ?? 0);
