// The stage: two servers of the seed's application, the proxy before them, a syslog target behind it.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, get, start, stop, syslog, until } from './tools.js';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** How each proxy is started, stopped, and told whom to become when the test runs as root. */
const PROXIES = {
  ringbolt: {
    template: 'ringbolt.toml',
    privileges: 'user = "nobody"\ngroup = "nogroup"',
    command: (world, file) => [world.options.binary, ['run', file]],
    signal: 'SIGTERM',
  },
  haproxy: {
    template: 'haproxy.cfg',
    privileges: 'user nobody\n        group nogroup',
    command: (world, file) => [world.options.haproxy, ['-db', '-f', file]],
    signal: 'SIGINT',
  },
};

export class World {
  /** Servers' events in the order in which they were told; all servers in one list. */
  events = [];
  nodes = {};

  constructor(options) {
    this.options = options;
    this.proxy = PROXIES[options.proxy];
  }

  async begin() {
    this.syslog = await syslog();
    for (const [name, key] of [['node1', 'bridge1'], ['node2', 'bridge2']]) {
      this.nodes[name] = { name, key, port: await freePort() };
      await this.revive(name);
    }
    this.port = await freePort();
    const values = {
      port: this.port,
      syslog: this.syslog.port,
      node1: this.nodes.node1.port,
      node2: this.nodes.node2.port,
      folder: this.options.folder,
      privileges: process.getuid() === 0 ? this.proxy.privileges : '',
    };
    const text = readFileSync(here(this.proxy.template), 'utf8').replace(/\{\{(\w+)\}\}/g, (_, name) => values[name]);
    this.file = join(this.options.folder, this.proxy.template);
    writeFileSync(this.file, text);
    const [command, args] = this.proxy.command(this, this.file);
    this.child = start(this.options.proxy, command, args);
    await until(`${this.options.proxy} answers`, async () => {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.child.lines.join('\n')}`);
      return (await get(this.port)).status === 200;
    }, 10);
  }

  /** Starts a server (again, on the same port). */
  async revive(name) {
    const node = this.nodes[name];
    node.child = start(name, process.execPath, [here('server.js')], {
      env: { SERVER_ID: name, PORT: String(node.port) },
      onLine: (line) => {
        try {
          this.events.push(JSON.parse(line));
        } catch {
          // Not an event: a warning of Node's, which stays in the child's lines.
        }
      },
    });
    await until(`${name} listens`, () => node.child.lines.some((line) => line.includes('"listening"')));
  }

  /** Ends a server as a crash does. */
  kill(name) {
    return stop(this.nodes[name].child, 'SIGKILL');
  }

  /** Waits until fresh clients are sent to a server again (its health checks have to rise first). */
  inTurn(name) {
    return until(`${name} takes new clients again`, async () => {
      const { headers } = await get(this.port);
      return (headers['set-cookie'] ?? []).some((text) => text.startsWith(`SERVERID=${this.nodes[name].key};`));
    });
  }

  other(name) {
    return name === 'node1' ? 'node2' : 'node1';
  }

  /** Requests that servers recorded since event number `from`, narrowed by `which`. */
  requests(which = () => true, from = 0) {
    return this.events.slice(from).filter((event) => event.event === 'request' && which(event));
  }

  async end() {
    const ended = this.child ? await stop(this.child, this.proxy.signal) : undefined;
    for (const node of Object.values(this.nodes)) if (node.child) await stop(node.child);
    this.syslog?.close();
    return ended;
  }
}
