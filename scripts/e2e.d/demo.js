// `ringbolt demo` as a newcomer meets it: open the page, say something, reload, kill the server that one is fast to.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { start, stop, until } from './tools.js';

export async function demo(check, browser, options) {
  const child = start('demo', options.binary, ['demo', '--port', '0']);
  const said = () => child.lines.join('\n');
  const mishaps = [];
  let context;
  let page;
  let address;
  let first;

  const fastTo = (on) => on.locator('body').getAttribute('data-server');
  const waitFor = (on, name) => until(`the page is fast to ${name ?? 'a server'}`, async () => {
    const now = await fastTo(on);
    return /^node[12]$/.test(now ?? '') && (name === undefined || now === name) ? now : undefined;
  });

  await check('demo: starts, and its page shows a server', async () => {
    address = await until('the address is printed', () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${said()}`);
      return said().match(/http:\/\/127\.0\.0\.1:\d+\//)?.[0];
    }, 15);
    context = await browser.newContext();
    page = await context.newPage();
    page.on('pageerror', (error) => mishaps.push(String(error)));
    await page.goto(address);
    first = await waitFor(page);
    assert.equal(await page.locator('#headline').innerText(), `You are made fast to ${first}`);
    assert.equal(await page.locator('#page-from').innerText(), first);
    // On a telephone nothing is cut, and the list of messages takes no room before there are any.
    for (const [width, height] of [[390, 844], [1280, 800]]) {
      await page.setViewportSize({ width, height });
      const found = await page.evaluate(() => {
        const wide = (node) => node.scrollWidth - node.clientWidth;
        const texts = [...document.querySelectorAll('.who, .who small, .lead, h1, h2, button, dd, svg text')];
        const right = Math.max(...texts.map((node) => node.getBoundingClientRect().right));
        const cut = texts.filter((node) => node.namespaceURI.endsWith('xhtml') && wide(node) > 0).map((node) => node.innerText);
        const left = Math.min(...texts.map((node) => node.getBoundingClientRect().left));
        return { page: wide(document.documentElement), right, left, cut, rows: document.querySelectorAll('#log li').length, log: document.querySelector('#log').clientHeight };
      });
      assert.ok(found.page <= 0 && found.right <= width && found.left >= 0 && found.cut.length === 0, `${width} px: ${JSON.stringify(found)}`);
      assert.ok(width > 390 || found.rows > 2 || found.log <= 120, `the list of ${found.rows} messages is ${found.log} px high`);
      await page.screenshot({ path: join(options.pictures, `demo-${width}.png`), fullPage: true });
    }
  });

  await check('demo: a message is answered by that server, a reload returns to it, a private window gets the other', async () => {
    await page.locator('#text').fill('Ahoy from the test');
    await page.locator('#send').click();
    const row = page.locator('#log li', { hasText: 'Ahoy from the test' });
    await until('the answer', async () => (await row.locator('.by').innerText()) === first);
    assert.match(await row.locator('.rtt').innerText(), /^\d+(\.\d+)? ms$/);
    await page.reload();
    await waitFor(page, first);
    await until('the page says so', async () => (await page.locator('#log').innerText()).includes(`Reloaded, and made fast to ${first} again`));
    const other = await browser.newContext();
    const window = await other.newPage();
    await window.goto(address);
    assert.notEqual(await waitFor(window), first);
    await other.close();
  });

  await check('demo: killing the server moves the session with a new cookie, reviving it does not move it back', async () => {
    const second = first === 'node1' ? 'node2' : 'node1';
    const cookie = async () => (await context.cookies(address)).find(({ name }) => name === 'SERVERID')?.value;
    const before = await cookie();
    await page.getByRole('button', { name: `Kill ${first}` }).click();
    await waitFor(page, second);
    const now = await cookie();
    assert.notEqual(now, before);
    const moved = (await page.locator('#log').innerText()).match(new RegExp(`Moved from ${first} to ${second} in (\\d+) ms. New cookie: ${now}`));
    assert.ok(moved, 'the page tells of the move');
    await page.getByRole('button', { name: `Revive ${first}` }).click();
    await page.getByRole('button', { name: `Kill ${first}` }).waitFor();
    await page.reload();
    assert.equal(await waitFor(page), second);
    const picture = join(options.pictures, 'demo.png');
    await page.screenshot({ path: picture, fullPage: true });
    console.log(`     moved in ${moved[1]} ms; picture: ${picture}`);
    assert.deepEqual(mishaps, [], 'errors in the page');
  });

  await check('demo: Ctrl-C ends it cleanly and leaves nothing behind', async () => {
    await context?.close();
    const ended = await stop(child, 'SIGINT', 10);
    assert.deepEqual(ended, { code: 0, signal: null }, said());
    const folder = said().match(/Configuration\s+(\S+)\/config\.toml/)?.[1];
    assert.ok(folder && !existsSync(folder), `${folder} is gone`);
    await assert.rejects(fetch(address), 'nobody listens any more');
  });
}
