// Headless Chromium with an empty profile. The host that the route wants is mapped to the loopback interface, and no
// other name is looked up.

import { chromium } from 'playwright-core';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-default-apps', '--no-proxy-server',
  '--host-resolver-rules=MAP myserver.example.com 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

/** Opens a browser for one test run, its profile in a fresh folder. Each context of it is a user with a jar of their own. */
export const openBrowser = (executablePath) => chromium.launch({ executablePath, args: FLAGS, headless: true, timeout: 30_000 });
