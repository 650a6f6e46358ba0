// What a scenario is made of: waiting with a deadline, free ports, child processes that never outlive the test, plain
// HTTP requests, a cookie jar, a syslog target.

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import http from 'node:http';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** Calls `probe` until it returns something true, and returns that; fails with `what` after `seconds`. */
export async function until(what, probe, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      const found = await probe();
      if (found) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}${last ? ` (${last.message})` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A TCP port of the loopback interface that nobody uses now. */
export const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

const children = new Set();

/** Starts a program whose output lines go to `lines` (and, with `onLine`, through it). */
export function start(name, command, args, { env = {}, onLine } = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  child.label = name;
  child.lines = [];
  child.ended = new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      children.delete(child);
      resolve({ code, signal });
    });
    child.once('error', (error) => {
      children.delete(child);
      child.lines.push(String(error));
      resolve({ code: 127 });
    });
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      child.lines.push(line);
      onLine?.(line);
    });
  }
  return child;
}

/** Asks a child to end, and kills it if it does not within `seconds`. Returns how it ended. */
export async function stop(child, signal = 'SIGTERM', seconds = 5) {
  if (child.exitCode !== null || child.signalCode !== null) return child.ended;
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
  const ended = await child.ended;
  clearTimeout(timer);
  return ended;
}

/** Kills whatever still runs; for the end of the test and for every way it may break off. */
export function killChildren() {
  for (const child of children) child.kill('SIGKILL');
}

/** One request on a connection of its own. */
export function get(port, { path = '/', host = 'myserver.example.com', headers = {}, method = 'GET' } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, path, method, agent: false, headers: { Host: `${host}:${port}`, ...headers }, timeout: 10_000 },
      (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() }));
      });
    request.on('timeout', () => request.destroy(new Error('no answer within 10 s')));
    request.on('error', reject);
    request.end();
  });
}

/** The values of a field in a request that a server recorded. */
export const fieldValues = (fields, name) =>
  fields.filter((_, at) => at % 2 === 1 && fields[at - 1].toLowerCase() === name);

/** Looks every name up as 127.0.0.1, so that clients name the host that the route wants. */
const lookup = (_name, options, found) =>
  options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4);

/** An agent for a client without a cookie jar or with its own. */
export const agent = () => new http.Agent({ keepAlive: true, lookup });

/** An agent that keeps cookies over all requests and handshakes made with it, as a browser does for its user. */
export class JarAgent extends http.Agent {
  cookies = new Map();
  /** Every Set-Cookie as received, with the path that brought it. */
  received = [];

  constructor() {
    super({ keepAlive: true, lookup });
  }

  addRequest(request, ...rest) {
    const cookies = [...this.cookies].map(([name, value]) => `${name}=${value}`);
    if (cookies.length > 0) request.setHeader('Cookie', cookies.join('; '));
    const keep = (response) => {
      for (const text of response.headers['set-cookie'] ?? []) {
        this.received.push({ text, path: request.path, status: response.statusCode });
        const [name, value] = text.split(';')[0].split('=');
        this.cookies.set(name, value);
      }
    };
    request.prependListener('response', keep);
    request.prependListener('upgrade', keep);
    super.addRequest(request, ...rest);
  }
}

/** A syslog target on UDP that keeps every datagram. */
export async function syslog() {
  const socket = createSocket('udp4');
  const lines = [];
  socket.on('message', (message) => lines.push(message.toString().trimEnd()));
  await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, lines, close: () => socket.close() };
}
