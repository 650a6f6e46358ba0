// The scenarios, in order. Each is a line of the list that the test prints; a failed one does not stop the others.
//
//   node run.js --proxy ringbolt|haproxy --binary FILE --haproxy FILE --chromium FILE --folder DIR --pictures DIR

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import assert from 'node:assert/strict';
import { io } from 'socket.io-client';
import { openBrowser } from './browser.js';
import { demo } from './demo.js';
import { sessions } from './sessions.js';
import { JarAgent, agent, fieldValues, get, killChildren, until } from './tools.js';
import { World } from './world.js';

const { values: options } = parseArgs({
  options: {
    proxy: { type: 'string', default: 'ringbolt' },
    binary: { type: 'string', default: 'ringbolt' },
    haproxy: { type: 'string', default: 'haproxy' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    folder: { type: 'string' },
    pictures: { type: 'string' },
  },
});

const world = new World(options);
let browser;
let user; // one user of the browser, with one cookie jar
let passed = 0;
let failed = 0;

async function check(name, scenario) {
  const begun = Date.now();
  try {
    await scenario();
    passed += 1;
    console.log(`ok   ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}\n     ${String(error?.stack ?? error).split('\n').slice(0, 8).join('\n     ')}`);
  }
}

/** Every client, so that none outlives a scenario that broke off. */
const clients = [];

/** A Socket.IO client, and what happened to it. */
function connect(extra) {
  const socket = io(`http://myserver.example.com:${world.port}`, {
    forceNew: true, reconnectionDelay: 200, reconnectionDelayMax: 500, timeout: 10_000, ...extra,
  });
  clients.push(socket);
  const told = { socket, servers: [], sids: [], transports: [], disconnects: [] };
  socket.io.on('open', () => {
    const { engine } = socket.io;
    told.sids.push(engine.id);
    told.transports.push(engine.transport.name);
    engine.on('upgrade', (transport) => told.transports.push(transport.name));
  });
  socket.on('welcome', ({ server }) => told.servers.push(server));
  socket.on('disconnect', (reason) => told.disconnects.push(reason));
  return told;
}

/** Every request of one Engine.IO session after its first went to `node`, by polling and by one upgrade. */
async function sessionStayedOn(node, sid) {
  await until('the server saw the upgrade complete', () =>
    world.events.some((event) => event.event === 'upgraded' && event.sid === sid && event.transport === 'websocket'));
  const requests = world.requests((request) => request.url.includes(`sid=${sid}`));
  assert.deepEqual([...new Set(requests.map((request) => request.server))], [node], 'servers that saw the session');
  assert.ok(requests.some((request) => request.url.includes('transport=polling')), 'it polled');
  assert.equal(requests.filter((request) => request.url.includes('transport=websocket')).length, 1, 'one upgrade');
}

/** The text of the Set-Cookie that names `node`; attributes have no case (RFC 6265, section 5.2), all else is exact. */
const cookieOf = (node) => `SERVERID=${world.nodes[node].key}; path=/`;
const issued = (text) => text.startsWith('SERVERID=') ? text.replace(/; path=/gi, '; path=') : text;

const jar = new JarAgent();
let roaming; // the client whose jar outlives its connections
let page;

async function nodeClients() {
  await check('socket.io-client with its own cookie jar: polling and the upgrade stay on one server', async () => {
    const told = connect({ withCredentials: true, agent: agent() });
    await until('connected and upgraded', () => told.servers.length === 1 && told.transports.includes('websocket'));
    assert.deepEqual(told.transports, ['polling', 'websocket']);
    await sessionStayedOn(told.servers[0], told.sids[0]);
    const answer = await told.socket.timeout(5000).emitWithAck('say', 'hello');
    assert.deepEqual(answer, { server: told.servers[0], text: 'hello' });
    assert.deepEqual(told.disconnects, []);
    told.socket.disconnect();
  });

  await check('socket.io-client, polling only, 20 messages: one server', async () => {
    const told = connect({ withCredentials: true, agent: agent(), transports: ['polling'] });
    await until('connected', () => told.servers.length === 1);
    for (let turn = 0; turn < 20; turn += 1) {
      const answer = await told.socket.timeout(5000).emitWithAck('say', `message ${turn}`);
      assert.deepEqual(answer, { server: told.servers[0], text: `message ${turn}` });
    }
    const requests = world.requests((request) => request.url.includes(`sid=${told.sids[0]}`));
    assert.deepEqual([...new Set(requests.map((request) => request.server))], told.servers);
    assert.deepEqual(told.disconnects, []);
    told.socket.disconnect();
  });

  await check('socket.io-client, WebSocket only: the 101 brings the cookie', async () => {
    const own = new JarAgent();
    const told = connect({ agent: own, transports: ['websocket'] });
    await until('connected', () => told.servers.length === 1);
    assert.deepEqual(own.received.map(({ text, status }) => ({ text: issued(text), status })),
      [{ text: cookieOf(told.servers[0]), status: 101 }]);
    assert.equal((await told.socket.timeout(5000).emitWithAck('say', 'x'.repeat(100_000))).text.length, 100_000);
    told.socket.disconnect();
  });

  await check('a client without cookies is balanced in turn', async () => {
    const keys = [];
    for (let turn = 0; turn < 4; turn += 1) {
      keys.push((await get(world.port)).headers['set-cookie'].map(issued).find((text) => text.startsWith('SERVERID=')));
    }
    assert.deepEqual([...new Set(keys)].sort(), [cookieOf('node1'), cookieOf('node2')]);
    assert.equal(keys[0], keys[2]);
    assert.equal(keys[1], keys[3]);
  });

  await check('a client with a jar: polling, upgrade, one cookie issued once', async () => {
    roaming = connect({ agent: jar });
    await until('connected and upgraded', () => roaming.servers.length === 1 && roaming.transports.includes('websocket'));
    await sessionStayedOn(roaming.servers[0], roaming.sids[0]);
    assert.deepEqual(jar.received.map(({ text }) => issued(text)), [cookieOf(roaming.servers[0])]);
  });
}

async function cookies() {
  await check('Set-Cookie is exact, stands beside the application\'s own, and is not sent again', async () => {
    const first = await get(world.port);
    assert.equal(first.status, 200);
    const node = first.body.match(/served by (\w+)/)[1];
    assert.deepEqual(first.headers['set-cookie'].map(issued), ['theme=dark; Path=/', cookieOf(node)]);
    const again = await get(world.port, { headers: { Cookie: `SERVERID=${world.nodes[node].key}` } });
    assert.match(again.body, new RegExp(`served by ${node}`));
    assert.deepEqual(again.headers['set-cookie'], ['theme=dark; Path=/']);
  });

  await check('the server sees other cookies and never SERVERID, wherever it stands', async () => {
    const { key } = world.nodes.node2;
    const forms = [
      [`SERVERID=${key}`, []],
      [`SERVERID=${key}; theme=dark`, ['theme=dark']],
      [`theme=dark; SERVERID=${key}`, ['theme=dark']],
      [`a=1; SERVERID=${key}; b=2`, ['a=1; b=2']],
      ['xSERVERID=1; serverid=2; SERVERIDx=3', ['xSERVERID=1; serverid=2; SERVERIDx=3']],
    ];
    for (const [number, [sent, expected]] of forms.entries()) {
      const { status } = await get(world.port, { path: `/?cookies=${number}`, headers: { Cookie: sent } });
      assert.equal(status, 200);
      const request = await until('the server tells of it', () => world.requests(({ url }) => url === `/?cookies=${number}`)[0]);
      assert.deepEqual(fieldValues(request.fields, 'cookie'), expected, `sent ${sent}`);
    }
  });

  await check('the server learns the client\'s address, and another host finds no server', async () => {
    const requests = world.requests();
    assert.ok(requests.every(({ fields }) => fieldValues(fields, 'x-forwarded-for').join() === '127.0.0.1'));
    assert.equal((await get(world.port, { host: 'elsewhere.example.com' })).status, 503);
    assert.equal((await get(world.port, { host: 'MyServer.Example.COM' })).status, 200);
  });
}

async function inBrowser() {
  const address = `http://myserver.example.com:${world.port}/`;
  const state = () => page.evaluate(() => window.state);

  await check('Chromium: document, polling and the upgrade come from one server', async () => {
    browser = await openBrowser(options.chromium);
    user = await browser.newContext();
    page = await user.newPage();
    await page.goto(address);
    await until('the page is connected and upgraded', async () => (await state()).transports.includes('websocket'));
    const seen = await state();
    assert.deepEqual(seen.transports, ['polling', 'websocket']);
    assert.deepEqual(seen.servers, [seen.document]);
    const sid = await page.evaluate(() => socket.io.engine.id);
    await sessionStayedOn(seen.document, sid);
    assert.equal((await page.evaluate(() => say('from the page'))).server, seen.document);
  });

  await check('Chromium: five reloads return to that server', async () => {
    const before = await state();
    for (let turn = 0; turn < 5; turn += 1) {
      await page.reload();
      await until('connected and upgraded again', async () => (await state()).transports.includes('websocket'));
      const seen = await state();
      assert.equal(seen.document, before.document);
      assert.deepEqual(seen.servers, [before.document]);
      assert.deepEqual(seen.disconnects, []);
    }
  });

  await check('Chromium: the jar holds one SERVERID, which no server has seen', async () => {
    const jarred = (await user.cookies(address)).filter(({ name }) => name === 'SERVERID');
    const seen = await state();
    assert.deepEqual(jarred.map(({ value, path, expires, httpOnly, secure }) => ({ value, path, expires, httpOnly, secure })),
      [{ value: world.nodes[seen.document].key, path: '/', expires: -1, httpOnly: false, secure: false }]);
    const cookied = world.requests().filter(({ fields }) => fieldValues(fields, 'cookie').length > 0);
    assert.ok(cookied.some(({ fields }) => /(^|; )theme=dark/.test(fieldValues(fields, 'cookie').join('; '))), 'theme=dark arrived');
    assert.ok(cookied.every(({ fields }) => !/(^|; )SERVERID=/.test(fieldValues(fields, 'cookie').join('; '))), 'SERVERID did not');
  });
}

async function failover() {
  await check('a server is killed: the Node client comes back on the other, with a new cookie, and stays', async () => {
    const [from] = roaming.servers;
    const to = world.other(from);
    await whileDead(from, async () => {
      await until('back and upgraded', () =>
        roaming.servers.length === 2 && roaming.transports.filter((name) => name === 'websocket').length === 2, 25);
      assert.equal(roaming.servers[1], to);
      assert.equal(issued(jar.received.at(-1).text), cookieOf(to));
      await sessionStayedOn(to, roaming.sids[1]);
      await until('the log says that the server is down', () => world.syslog.lines.some((text) => isDown(text, from)));
    });
    const count = jar.received.length;
    roaming.socket.disconnect().connect();
    await until('connected a third time', () => roaming.servers.length === 3);
    assert.equal(roaming.servers[2], to, 'the old server is back, the client stays with the new one');
    assert.equal(jar.received.length, count, 'no further cookie');
  });

  await check('a server is killed: the page comes back on the other, with a new cookie, and a reload stays', async () => {
    // It may have moved already, when the Node client's server was also its own.
    await until('the page is connected', () => page.evaluate(() => socket.connected && state.transports.at(-1) === 'websocket'));
    const before = await page.evaluate(() => window.state);
    const from = before.servers.at(-1);
    const to = world.other(from);
    await whileDead(from, async () => {
      const after = await until('the page is back', async () => {
        const seen = await page.evaluate(() => window.state);
        return seen.servers.length > before.servers.length && seen.transports.at(-1) === 'websocket' ? seen : undefined;
      }, 30);
      assert.equal(after.servers.at(-1), to);
      const cookie = (await user.cookies(page.url())).find(({ name }) => name === 'SERVERID');
      assert.equal(cookie.value, world.nodes[to].key);
    });
    await page.reload();
    await until('connected after the reload', async () => (await page.evaluate(() => window.state)).servers.length === 1);
    const last = await page.evaluate(() => window.state);
    assert.deepEqual([last.document, ...last.servers], [to, to]);
  });
}

/** Whether a log line is the event, under facility local1, that a server is down. */
const isDown = (text, name) => /^<1(3[6-9]|4[0-3])>/.test(text) && text.includes(`/${name} `) && /\bdown\b/i.test(text);

/** Kills a server for as long as the scenario runs, and waits until it takes new clients again. */
async function whileDead(name, scenario) {
  await world.kill(name);
  try {
    await scenario();
  } finally {
    await world.revive(name);
  }
  await world.inTurn(name);
}

async function watching() {
  await check('the stats page asks for a password and shows both servers', async () => {
    const refused = await get(world.port, { path: '/haproxyStats' });
    assert.equal(refused.status, 401);
    assert.match(refused.headers['www-authenticate'], /^Basic realm=/);
    const wrong = Buffer.from('someuser:wrong').toString('base64');
    assert.equal((await get(world.port, { path: '/haproxyStats', headers: { Authorization: `Basic ${wrong}` } })).status, 401);
    const stats = await user.newPage();
    const right = Buffer.from('someuser:somepassword').toString('base64');
    await stats.setExtraHTTPHeaders({ Authorization: `Basic ${right}` });
    const response = await stats.goto(`http://myserver.example.com:${world.port}/haproxyStats`);
    assert.equal(response.status(), 200);
    const text = await stats.locator('body').innerText();
    for (const name of ['socket_servers', 'node1', 'node2']) assert.ok(text.includes(name), `${name} is on the page`);
    // Nothing is cut and nothing has to be scrolled where there is room; a telephone scrolls the table, not the page.
    for (const width of [390, 1280, 1440, 1920]) {
      await stats.setViewportSize({ width, height: 800 });
      const found = await stats.evaluate(() => {
        const wide = (node) => node.scrollWidth - node.clientWidth;
        const tables = [...document.querySelectorAll('.scroll')];
        const rows = [...document.querySelectorAll('tbody tr')];
        return {
          page: wide(document.documentElement),
          tables: Math.max(...tables.map(wide)),
          rows: rows.map((row) => row.getBoundingClientRect().height),
        };
      });
      assert.ok(found.page <= 0, `${width} px: the page is ${found.page} px too wide`);
      assert.ok(width === 390 || found.tables <= 0, `${width} px: a table is ${found.tables} px too wide`);
      assert.ok(found.rows.length >= 2 && found.rows.every((height) => height >= 20 && height <= 44), `${width} px: rows of ${found.rows} px`);
      await stats.screenshot({ path: join(options.pictures, `stats-${width}.png`), fullPage: true });
    }
    const picture = join(options.pictures, 'stats.png');
    await stats.screenshot({ path: picture, fullPage: true });
    console.log(`     picture: ${picture}`);
    await stats.close();
  });

  await check('the log names listener, pool and server, and the cookie\'s story, in httplog form', async () => {
    const lines = world.syslog.lines.filter((line) => line.includes(' http-in socket_servers/'));
    const line = /^<134>.* 127\.0\.0\.1:\d+ \[\S+\] http-in socket_servers\/(node[12]) \d+\/\d+\/\d+\/\d+\/\d+ 200 \d+ - - --(NI|VN) \d+\/\d+\/\d+\/\d+\/\d+ 0\/0 "GET \/(\?\S*)? HTTP\/1\.1"$/;
    for (const story of ['NI', 'VN']) {
      assert.ok(lines.some((text) => line.exec(text)?.[2] === story), `a page with --${story}; first lines:\n${lines.slice(0, 5).join('\n')}`);
    }
    assert.ok(lines.some((text) => text.includes(' 101 ') && text.includes('transport=websocket')), 'a line of a tunnel');
    assert.ok(lines.some((text) => / --DI | [CS-]\S?DI /.test(text)), 'a session that moved: D for the request, I for the answer');
  });
}

async function main() {
  await world.begin();
  console.log(`${options.proxy} on port ${world.port}, node1 on ${world.nodes.node1.port}, node2 on ${world.nodes.node2.port}`);
  await nodeClients();
  await cookies();
  await inBrowser();
  await failover();
  await watching();
  for (const client of clients) client.disconnect();
  await user?.close();
  await check(`${options.proxy} ends when it is told to`, async () => {
    const ended = await world.end();
    assert.notEqual(ended.signal, 'SIGKILL');
  });
  if (options.proxy === 'ringbolt') {
    await demo(check, browser, options);
    await sessions(check, options);
  }
  await browser?.close();
}

const deadline = setTimeout(() => {
  console.log('FAIL the whole took longer than 170 s');
  killChildren();
  process.exit(1);
}, 170_000);
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    killChildren();
    process.exit(130);
  });
}
try {
  await main();
} catch (error) {
  failed += 1;
  console.log(`FAIL ${error.stack}`);
  await browser?.close();
}
clearTimeout(deadline);
killChildren();
if (failed > 0 && world.child) {
  console.log(`--- last lines of ${options.proxy}:\n${world.child.lines.slice(-20).join('\n')}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
