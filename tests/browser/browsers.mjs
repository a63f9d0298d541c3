// Chromium and Firefox with a fake camera and microphone, and a page for them that comes from elsewhere than the server.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';

const CHROMIUM_ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
  '--disable-background-timer-throttling', '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows',
  '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream=fps=30', '--auto-select-desktop-capture-source=Entire screen'];

export const launchChromium = (more = []) => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [...CHROMIUM_ARGUMENTS, ...more],
});

/** Firefox looks for codecs and updates on the network unless told not to. */
export const launchFirefox = () => puppeteer.launch({
  browser: 'firefox',
  executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
  headless: true,
  extraPrefsFirefox: {
    'media.navigator.streams.fake': true,
    'media.navigator.permission.disabled': true,
    'media.peerconnection.ice.obfuscate_host_addresses': false,
    'media.autoplay.default': 0,
    'media.gmp-manager.updateEnabled': false,
    'app.update.enabled': false,
  },
});

/** An init script: keeps the page's connections in `window.kept`, for their statistics. */
export function keepConnections() {
  window.kept = [];
  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...parameters) {
      super(...parameters);
      window.kept.push(this);
    }
  };
}

const SCRIPTS = {
  '/rtc-page.js': new URL('rtc-page.js', import.meta.url),
  '/whip.js': new URL('node_modules/whip-whep/whip.js', import.meta.url),
  '/whep.js': new URL('node_modules/whip-whep/whep.js', import.meta.url),
};
const PAGE = '<!doctype html><link rel="icon" href="data:,"><video playsinline></video><script src="rtc-page.js"></script>';

/** Serves the test's page on a port of its own, so that the server is another origin for it; gives its URL to `use`. */
export async function withPage(use) {
  const server = createServer(async (request, response) => {
    const script = SCRIPTS[request.url];
    response.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html' }).end(script ? await readFile(script) : PAGE);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await use(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
