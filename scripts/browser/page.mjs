// Drives the public page in Chromium: what a reader sees and does, and what must never happen. The
// Go test in page/browser_test.go starts it.
import { ask, axeOf, browser, expect, figure, screenshot, test, visit, world } from './harness.mjs';

const { base, log, head } = world; // head: the newest verified epoch of the log
const logPage = `${base}logs/${log}/`;
const epochPage = (n) => `${logPage}epochs/${n}/`;
const text = (page, selector) => page.locator(selector).first().innerText();

/** drawn waits for the strip to show other epochs than were drawn before, with what was loaded. */
const drawn = (page, before) => page.waitForFunction((b) => {
  const d = document.querySelector('figure.strip').dataset.drawn;
  return d && d !== b;
}, before);
const drawnNow = (page) => page.evaluate(() => document.querySelector('figure.strip').dataset.drawn);

// Where only the colours are others, only contrast is looked at anew.
for (const [phone, dark, rules] of [[false, false, null], [true, false, null], [false, true, ['color-contrast']], [true, true, ['color-contrast']]]) {
  await test(`accessible, ${phone ? 'phone' : 'desktop'}, ${dark ? 'dark' : 'light'}`, async () => {
    const page = await visit(base, { phone, dark });
    const pages = [['overview', base], ['log', logPage], ['epoch', epochPage(head)], ['range', `${logPage}range/1-10/`],
      ['rejected', `${base}logs/${world.broken}/epochs/${world.rejected}/`], ['incidents', `${base}incidents/`], ['search', `${base}search/?q=1`]];
    for (const [name, url] of phone ? pages.slice(0, 3) : pages) {
      if (page.url() !== url) await page.goto(url);
      if (await page.locator('figure.strip[data-json]').count()) await drawn(page, '');
      await axeOf(page, name, rules);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide <= 0, `${name} is ${wide} pixels wider than the window`);
    }
  });
}

await test('first view', async () => {
  const page = await visit(base);
  await page.waitForLoadState('load');
  await drawn(page, '');
  expect(page.received > 5_000 && page.received < 150_000, `the first view takes ${page.received} bytes`);
  figure(`first view: ${page.received} bytes, compressed`);
  const overview = await text(page, `[data-namespace="${log}"]`);
  expect(overview.includes(head.toLocaleString('en')), `the overview does not say ${head}: ${overview}`);
  expect(await page.locator('main time[datetime] + .local').count() > 0, 'no time in the reader’s zone');
});

await test('keyboard', async () => {
  const page = await visit(logPage);
  await page.keyboard.press('Tab');
  expect(await page.evaluate(() => document.activeElement.classList.contains('skip')), 'the first Tab does not reach the skip link');
  await page.keyboard.press('Enter');
  expect(await page.evaluate(() => location.hash) === '#main', 'the skip link leads nowhere');
  const stops = new Set();
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement === document.body)) break; // at the end
    const stop = await page.evaluate(() => {
      const e = document.activeElement, style = getComputedStyle(e);
      return { name: e.tagName + (e.className.baseVal ?? e.className), visible: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
    });
    expect(stop.visible, `the focus on ${stop.name} cannot be seen`);
    stops.add(stop.name);
  }
  expect([...stops].some((s) => s.startsWith('svg')), `the strip cannot be reached: ${[...stops]}`);
  await page.locator('svg.strip').first().focus();
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => /^Epoch/.test(document.querySelector('.strip-readout').textContent));
});

await test('strip of a million epochs', async () => {
  const page = await visit(`${base}logs/${world.million}/`);
  await drawn(page, '');
  const took = [];
  const step = async (act) => {
    const before = await drawnNow(page);
    const began = performance.now();
    await act();
    await drawn(page, before);
    took.push(performance.now() - began);
  };
  const strip = page.locator('svg.strip').first();
  const span = async () => { const [a, b] = (await drawnNow(page)).split('-').map(Number); return b - a + 1; };
  expect(await span() >= 1_000_000, `${await span()} epochs`);
  await screenshot(page, 'page-strip');
  const into = page.getByRole('button', { name: 'Zoom in' }).first();
  for (let i = 0; i < 6; i++) await step(() => into.click());
  const box = await strip.boundingBox();
  await strip.focus();
  for (let i = 0; i < 4; i++) {
    await step(async () => { await page.mouse.move(box.x + box.width * 0.7, box.y + 30); await page.mouse.wheel(0, -60); });
  }
  await step(async () => {
    await page.mouse.move(box.x + 600, box.y + 30);
    await page.mouse.down();
    await page.mouse.move(box.x + 400, box.y + 30);
    await page.mouse.up();
  });
  await strip.focus();
  for (let i = 0; i < 30 && await into.isEnabled(); i++) await step(() => page.keyboard.press('+'));
  expect(await span() <= 20, `${await span()} epochs at the finest`);
  await step(() => page.keyboard.press('Shift+0').then(() => page.keyboard.press('0')));
  await step(() => page.mouse.click(box.x + box.width / 2, box.y + 30)); // opens the bucket there
  expect(await span() < 100_000, `${await span()} epochs after opening a bucket`);
  expect((await text(page, 'figure.strip [data-count=verified]')).replaceAll(',', '') <= await span(), 'the caption says something else than the strip');
  took.sort((a, b) => a - b);
  figure(`strip: ${took.length} steps over a million epochs, median ${Math.round(took[took.length >> 1])} ms, slowest ${Math.round(took.at(-1))} ms`);
  expect(took.at(-1) < 20_000, `the slowest step took ${took.at(-1)} ms`);
});

await test('from the strip to an epoch', async () => {
  const page = await visit(logPage);
  await drawn(page, '');
  await page.locator('svg.strip').first().focus();
  await page.keyboard.press('End');
  await Promise.all([page.waitForURL(/\/epochs\/\d+\/$/), page.keyboard.press('Enter')]);
  await page.getByRole('heading', { level: 1 }).waitFor();
});

if (world.screenshots) {
  await test('screenshots', async () => {
    for (const dark of [false, true]) {
      const page = await visit(base, { dark, viewport: { width: 1100, height: 780 } });
      await drawn(page, '');
      await screenshot(page, `page-${dark ? 'dark' : 'light'}`);
    }
    const phone = await visit(base, { dark: true, viewport: { width: 360, height: 720 } });
    await drawn(phone, '');
    await screenshot(phone, 'page-phone');
  });
}

await test('a new epoch appears', async () => {
  const page = await visit(base);
  await page.waitForFunction(() => document.documentElement.dataset.following === 'events');
  await page.evaluate(() => { window.sameDocument = true; });
  await ask('epoch');
  const next = (head + 1).toLocaleString('en');
  await page.locator(`[data-namespace="${log}"] [data-field=head]`, { hasText: next }).first().waitFor({ state: 'attached' });
  await page.locator(`[data-namespace="${log}"] tr[data-epoch="${head + 1}"]`).first().waitFor({ state: 'attached' });
  await page.waitForFunction(() => document.querySelector('[data-announce]').textContent.includes('verified'));
  expect(await page.evaluate(() => window.sameDocument), 'the page was loaded anew');
});

await test('without events the page polls', async () => {
  const page = await visit('about:blank');
  page.expected.add(404);
  await page.route('**/events', (route) => route.fulfill({ status: 404, body: '' }));
  await page.addInitScript(() => addEventListener('DOMContentLoaded', () => { document.documentElement.dataset.every = '100'; }));
  await page.goto(base);
  await page.waitForFunction(() => document.documentElement.dataset.following === 'poll');
  await ask('epoch');
  await page.locator(`[data-namespace="${log}"] tr[data-epoch="${head + 2}"]`).first().waitFor({ state: 'attached' });
});

await test('an incident appears', async () => {
  const page = await visit(base);
  await page.waitForFunction(() => document.documentElement.dataset.following === 'events');
  const before = await page.locator('[data-incident]').count();
  await ask('incident');
  await page.waitForFunction((n) => document.querySelectorAll('[data-incident]').length > n, before);
  await page.waitForFunction((n) => document.querySelector(`[data-namespace="${n}"] [data-field=state]`).className.includes('wrong'), log);
  await page.waitForFunction(() => /Incident/.test(document.querySelector('[data-announce]').textContent));
  await axeOf(page, 'overview with an incident');
  await screenshot(page, 'page-incident');
});

await test('search', async () => {
  const page = await visit(base);
  const search = async (q) => {
    await page.getByRole('searchbox').first().fill(q);
    await page.keyboard.press('Enter');
  };
  const hit = page.locator('[data-search-result]').getByRole('link', { name: new RegExp(log) });
  const toEpoch = new RegExp(`/epochs/${head}/$`);
  await search(world.digest);
  await Promise.race([hit.waitFor().then(() => hit.click()), page.waitForURL(toEpoch)]);
  await page.waitForURL(toEpoch);
  expect((await page.locator('main').innerText()).includes(world.digest), 'the epoch’s page does not show its digest');
  await search('nothing like it');
  await page.getByText('Nothing was found').waitFor();
  await axeOf(page, 'nothing found');
  await search(String(head));
  await hit.click();
  await page.waitForURL(toEpoch);
});

const outcome = (page, want) => page.locator(`[data-check][data-outcome=${want}]`).waitFor();
const check = async (page) => { await page.getByRole('button', { name: /check/i }).last().click(); };

await test('check it yourself', async () => {
  const page = await visit(epochPage(head));
  const before = page.received;
  await page.waitForLoadState('load');
  expect(page.received < 300_000, `the checker was loaded unasked: ${page.received - before} bytes`);
  await page.waitForFunction(() => document.querySelector('#check-log')?.value);
  await check(page);
  await outcome(page, 'good');
  const said = await text(page, '[data-result]');
  expect(said.includes('has this verdict') && said.includes('Inclusion in the log'), said);
  await axeOf(page, 'epoch with a result');
  await page.locator('[data-result]').scrollIntoViewIfNeeded();
  await page.evaluate(() => document.querySelector('[data-check-form]').scrollIntoView());
  await screenshot(page, 'page-check');

  // The reader's own keys are believed, and no others.
  const key = await page.inputValue('#check-log');
  await page.fill('#check-log', world.otherKey);
  await check(page);
  await outcome(page, 'wrong');
  await page.fill('#check-log', key);

  // The log's own proof.
  await page.setInputFiles('#check-file', world.batch);
  await outcome(page, 'good');
  expect((await text(page, '[data-result]')).includes('Verified: epoch'), await text(page, '[data-result]'));
  await page.setInputFiles('#check-file', world.badBatch);
  await outcome(page, 'wrong');
});

for (const file of ['proof.tlog-proof', 'verdict.json']) {
  await test(`a changed byte of ${file} is found`, async () => {
    const page = await visit('about:blank');
    await page.route(`**/${file}`, async (route) => {
      const answer = await route.fetch();
      const body = await answer.body();
      body[Math.floor(body.length / 3)] ^= 1;
      await route.fulfill({ response: answer, body });
    });
    await page.goto(epochPage(head));
    await check(page);
    await outcome(page, 'wrong');
    expect(!(await page.locator('[data-check][data-outcome=good]').count()), 'it passes');
  });
}

await test('without JavaScript', async () => {
  const page = await visit(base, { javaScriptEnabled: false });
  expect((await text(page, `[data-namespace="${log}"]`)).includes(head.toLocaleString('en')), 'the overview is empty');
  await page.goto(logPage);
  expect(await page.locator('svg.strip rect').count() > 0, 'no strip');
  await page.locator('figure.strip details > summary').first().click();
  await page.locator('figure.strip table').first().waitFor();
  await page.goto(epochPage(head));
  expect((await page.locator('main').innerText()).includes(world.digest), 'the epoch’s page is empty');
  expect(!(await page.locator('[data-action=check]').isVisible()), 'a button that does nothing');
  expect((await text(page, '#check')).includes('ktaudit check'), 'no command');
});

await browser.close();
process.exit(process.exitCode ?? 0);
