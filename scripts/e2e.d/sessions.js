// Socket.IO clients that keep no cookies, on connections that are not kept either, so that their requests come to both
// workers: 200 of them before three servers, with `sticky = { engine_io = true }`, and the same without it, which must fail.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';
import { freePort, start, stop, until } from './tools.js';

const CLIENTS = 200;
const AT_ONCE = 20;

export async function sessions(check, options) {
  const servers = [];
  const events = [];
  for (const name of ['node1', 'node2', 'node3']) {
    const port = await freePort();
    const child = start(name, process.execPath, [fileURLToPath(new URL('server.js', import.meta.url))], {
      env: { SERVER_ID: name, PORT: String(port) },
      onLine: (line) => {
        try {
          events.push(JSON.parse(line));
        } catch {
          // Not an event.
        }
      },
    });
    servers.push({ name, port, child });
  }
  await until('the servers listen', () => servers.every(({ child }) => child.lines.some((line) => line.includes('"listening"'))));

  await check(`${CLIENTS} Socket.IO clients without cookies, two workers, three servers: polling and upgrade stay on one server`, async () => {
    const { ended, lines } = await run('sticky = { engine_io = true }', CLIENTS);
    assert.deepEqual(ended.filter(({ fault }) => fault).slice(0, 3), [], 'clients that failed');
    const refused = lines.filter((line) => / 400 \d+ /.test(line));
    assert.deepEqual(refused.slice(0, 3), [], 'requests of an unknown session');
    const shares = servers.map(({ name }) => ended.filter(({ server }) => server === name).length);
    assert.ok(shares.every((share) => share > CLIENTS / 6), `all servers have their share: ${shares}`);
    for (const { sid, server } of ended) {
      const seen = events.filter(({ event, url }) => event === 'request' && url.includes(`sid=${sid}`));
      assert.deepEqual([...new Set(seen.map((request) => request.server))], [server], `servers that saw ${sid}`);
      const posts = seen.filter(({ method, url }) => method === 'POST' && url.includes('transport=polling'));
      assert.ok(posts.length > 0, 'it spoke by polling');
    }
    const held = lines.filter((line) => /sid=/.test(line) && / --V/.test(line)).length;
    console.log(`     clients by server: ${shares.join(', ')}; requests in sessions, all held: ${held}`);
  });

  await check('the same clients without `engine_io` fail: the test would notice', async () => {
    const { ended, lines } = await run('', AT_ONCE);
    const lost = ended.filter(({ fault }) => fault).length;
    const refused = lines.filter((line) => / 400 \d+ /.test(line)).length;
    console.log(`     of ${AT_ONCE} clients ${lost} failed; requests answered 400: ${refused}`);
    assert.ok(lost > 0 && refused > 0);
  });

  for (const { child } of servers) await stop(child);

  /** Ringbolt with this line in its pool, and what became of so many clients. */
  async function run(sticky, count) {
    const port = await freePort();
    const file = join(options.folder, 'sessions.toml');
    writeFileSync(file, `
      [process]
      workers = 2
      [control]
      socket = "${join(options.folder, 'sessions.sock')}"
      [[log]]
      target = "stdout"
      [[listener]]
      name = "in"
      bind = "127.0.0.1:${port}"
      default_pool = "app"
      [pool.app]
      ${sticky}
      ${servers.map(({ name, port }) => `[[pool.app.server]]\nname = "${name}"\naddress = "127.0.0.1:${port}"`).join('\n')}
    `);
    const proxy = start('ringbolt', options.binary, ['run', file]);
    await until('ringbolt is ready', () => proxy.lines.some((line) => line.includes('ready')));
    const ended = [];
    let left = count;
    const worker = async () => {
      while (left > 0) {
        left -= 1;
        ended.push(await client(port));
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
    await stop(proxy);
    return { ended, lines: proxy.lines };
  }
}

/** One client from its first poll to a message after the upgrade; every request on a connection of its own. */
async function client(port) {
  const socket = io(`http://127.0.0.1:${port}`, {
    forceNew: true, reconnection: false, timeout: 10_000, agent: new http.Agent({ keepAlive: false }),
  });
  const told = { server: undefined, sid: undefined, fault: undefined };
  try {
    await new Promise((resolve, reject) => {
      socket.on('connect_error', (error) => reject(new Error(`${error.message}: ${error.description ?? ''}`)));
      socket.on('disconnect', (reason) => reject(new Error(reason)));
      socket.on('welcome', ({ server }) => {
        told.server = server;
        told.sid = socket.io.engine.id;
        resolve();
      });
    });
    const upgraded = new Promise((resolve) => socket.io.engine.on('upgrade', resolve));
    const isPolling = socket.io.engine.transport.name === 'polling';
    for (const text of ['one', 'two']) {
      const answer = await socket.timeout(10_000).emitWithAck('say', text);
      assert.deepEqual(answer, { server: told.server, text });
    }
    if (isPolling && socket.io.engine.transport.name === 'polling') {
      await Promise.race([upgraded, new Promise((_, reject) => setTimeout(() => reject(new Error('no upgrade')), 10_000))]);
    }
    assert.equal(socket.io.engine.transport.name, 'websocket');
    const answer = await socket.timeout(10_000).emitWithAck('say', 'three');
    assert.deepEqual(answer, { server: told.server, text: 'three' });
  } catch (error) {
    told.fault = String(error?.message ?? error);
  }
  socket.disconnect();
  return told;
}
