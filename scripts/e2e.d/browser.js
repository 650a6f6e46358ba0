// Headless Chromium with an empty profile. The host that the route wants is mapped to the loopback interface.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-default-apps', '--no-proxy-server',
  '--host-resolver-rules=MAP myserver.example.com 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

/** Opens a browser for one test run; `folder` receives the profile and the pictures. */
export async function openBrowser(executablePath, folder) {
  const profile = join(folder, 'profile');
  mkdirSync(profile, { recursive: true });
  return chromium.launchPersistentContext(profile, { executablePath, args: FLAGS, headless: true, timeout: 30_000 });
}
