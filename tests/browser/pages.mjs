// Our own pages in Chromium: going live and watching as people do, by mouse and by keyboard, what they say when something does
// not work, and whether axe finds fault with them. SHOTS=folder keeps pictures of what was seen.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import { keepConnections, launchChromium } from './browsers.mjs';
import { freePort, sleep, until, withPublisher, withRelay, withServer } from './live.mjs';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = process.env.SHOTS;
const DESKTOP = { width: 1360, height: 860 };
/** How long it is watched over a bad network, and before that, in milliseconds. */
const HELD_MS = 8000;
const PHONE = { width: 390, height: 844 };

async function withChromium(use) {
  const browser = await launchChromium();
  try {
    return await use(async (url, { viewport = DESKTOP, colorScheme = 'light' } = {}) => {
      // The pages forbid foreign scripts, and axe is one.
      const context = await browser.newContext({ viewport, colorScheme, bypassCSP: true, permissions: ['camera', 'microphone', 'clipboard-write'] });
      await context.addInitScript(keepConnections);
      const page = await context.newPage();
      page.complaints = [];
      page.on('pageerror', (error) => page.complaints.push(String(error)));
      page.on('console', (message) => /Content Security Policy/.test(message.text()) && page.complaints.push(message.text()));
      await page.goto(url);
      return page;
    });
  } finally {
    await browser.close();
  }
}

const shot = (page, name) => SHOTS && page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
const words = (page, id) => page.locator(`#${id}`).innerText();
const says = (page, id, pattern, ms = 20_000) => until(`#${id} says ${pattern}`, ms, async () => pattern.test(await words(page, id)));

/** What axe finds against WCAG 2.2 AA. */
async function faults(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 90)).join(' ')}`);
}

function clean(page) {
  if (page.complaints.length) throw new Error(`the page complained: ${page.complaints}`);
}

/** Camera, go live; the watch page plays it by WebRTC; stop, and it says so. */
async function goLiveAndWatch() {
  return withServer(({ origin }) => withChromium(async (open) => {
    const publish = await open(`${origin}/publish/live/cam`);
    await shot(publish, 'publish-before');
    await publish.getByRole('button', { name: 'Camera' }).click();
    await publish.locator('#go:enabled').waitFor();
    await publish.getByRole('button', { name: 'Go live' }).click();
    await says(publish, 'state', /^Live$/);
    const watch = await open(`${origin}/watch/live/cam`);
    await says(watch, 'protocol', /^WebRTC$/);
    await says(watch, 'latency', /ms|s/);
    const moving = () => watch.evaluate(() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames);
    const first = await moving();
    await until('30 more pictures', 15_000, async () => (await moving()) > first + 30);
    await says(publish, 'bitrate', /bit\/s/);
    await says(publish, 'rtt', /ms/);
    const figures = `codecs ${await words(publish, 'codecs')}, ${await words(publish, 'size')}, watched with a latency of ${await words(watch, 'latency')}`;
    await shot(publish, 'publish-live');
    await shot(watch, 'watch-webrtc');
    await watch.getByRole('button', { name: 'Switch to LL-HLS' }).click();
    await says(watch, 'protocol', /^LL-HLS$/);
    await publish.getByRole('button', { name: 'Stop' }).click();
    await says(publish, 'state', /^Off air$/);
    await until('its session has ended', 5000, async () => {
      const sessions = await (await fetch(`${origin}/api/v1/sessions`)).json();
      return !sessions.items.some(({ role }) => role === 'publish');
    });
    clean(publish);
    clean(watch);
    return figures;
  }));
}

async function goLiveByKeyboard() {
  return withServer(({ origin }) => withChromium(async (open) => {
    const page = await open(`${origin}/publish/live/cam`);
    const press = async (name) => {
      for (let tabs = 0; tabs < 40; tabs += 1) {
        await page.keyboard.press('Tab');
        if ((await page.evaluate(() => document.activeElement.textContent.trim())) === name) return page.keyboard.press('Enter');
      }
      throw new Error(`no way to ${name} by the Tab key`);
    };
    await press('Camera');
    await page.locator('#go:enabled').waitFor();
    await press('Go live');
    await says(page, 'state', /^Live$/);
    await page.keyboard.press('Enter');
    await says(page, 'state', /^Off air$/);
    return 'on air and off by Tab and Enter';
  }));
}

async function wrongKey() {
  const environment = { CRUVZ__ACCESS__REQUIRE_KEY: 'true', CRUVZ__PUBLISH: '[{ key = "right" }]' };
  return withServer(({ origin }) => withChromium(async (open) => {
    const page = await open(`${origin}/publish/live/cam`);
    await page.getByRole('button', { name: 'Sound' }).click();
    await page.locator('#go:enabled').waitFor();
    await page.locator('#key').fill('wrong');
    await page.getByRole('button', { name: 'Go live' }).click();
    await says(page, 'failure', /key/);
    const said = await words(page, 'failure');
    await shot(page, 'publish-wrong-key');
    if (await page.evaluate(() => document.activeElement.id) !== 'key') throw new Error('the key is not asked for again');
    await page.locator('#key').fill('right');
    await page.keyboard.press('Enter');
    await says(page, 'state', /^Live$/);
    clean(page);
    return said;
  }), { environment });
}

/** Without WebRTC, or with a port of it that nobody reaches, the stream plays by LL-HLS, and the page says why. */
async function fallsBack(server, expected) {
  return withServer(({ origin, rtmp }) => withChromium((open) => withPublisher(`${rtmp}/live/bars`, '30', async () => {
    await until('the stream plays', 20_000, async () => (await fetch(`${origin}/api/v1/streams/live/bars`)).ok);
    const began = Date.now();
    const page = await open(`${origin}/watch/live/bars`);
    await says(page, 'protocol', /^LL-HLS$/, 25_000);
    const seconds = (Date.now() - began) / 1000;
    if (expected) await says(page, 'notes', expected);
    await shot(page, `watch-fallback${expected ? '' : '-off'}`);
    clean(page);
    if (seconds > 15) throw new Error(`it took ${seconds} s`);
    return `after ${seconds.toFixed(1)} s: ${(await words(page, 'notes')) || 'nothing to explain'}`;
  })), server);
}

/** Far away and over a network that loses packets, the watch page holds the picture for as long as a repeat takes. */
async function holdsForRepeats() {
  const port = await freePort();
  const environment = { CRUVZ__ENGINE__WEBRTC__PUBLIC_ADDRESSES: `["127.0.0.1:${port}"]`, CRUVZ__ENGINE__WEBRTC__TCP: 'false' };
  const far = ['--delay-ms', '50', '--jitter-ms', '20', '--loss', '0.05'];
  return withServer(({ origin, rtmp, webrtc }) => withRelay(webrtc, far, () => withChromium((open) => withPublisher(`${rtmp}/live/bars`, '30', async () => {
    await until('the stream plays', 20_000, async () => (await fetch(`${origin}/api/v1/streams/live/bars`)).ok);
    const page = await open(`${origin}/watch/live/bars`);
    await says(page, 'protocol', /^WebRTC$/);
    const look = () => page.evaluate(async () => {
      const connection = window.kept.at(-1);
      const reports = [...(await connection.getStats()).values()];
      return { held: connection.getReceivers().map((receiver) => receiver.jitterBufferTarget), ...reports.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video') };
    });
    await until('it holds picture and sound', 20_000, async () => (await look()).held.every((ms) => ms > 100));
    await sleep(HELD_MS);
    const before = await look();
    await sleep(HELD_MS);
    const after = await look();
    const freezes = after.freezeCount - before.freezeCount;
    const pictures = after.framesDecoded - before.framesDecoded;
    const figures = `holds ${after.held.map(Math.round).join(' and ')} ms, ${freezes} freezes in ${HELD_MS / 1000} s, ${pictures} pictures, ${after.nackCount - before.nackCount} NACKs`;
    clean(page);
    // A busy machine freezes pictures by itself.
    if (pictures < (HELD_MS / 1000) * 20 || (process.env.STRICT === '1' && freezes > 2)) throw new Error(figures);
    return figures;
  })), port), { environment });
}

async function accessible() {
  return withServer(({ origin, rtmp }) => withChromium((open) => withPublisher(`${rtmp}/live/bars`, '30', async () => {
    const found = [];
    for (const colorScheme of ['light', 'dark']) {
      for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
        for (const [name, path] of Object.entries({ index: '/', watch: '/watch/live/bars', publish: '/publish/live/cam' })) {
          const page = await open(`${origin}${path}`, { viewport, colorScheme });
          if (name === 'watch') await says(page, 'protocol', /WebRTC|LL-HLS/);
          if (name === 'publish') {
            await page.getByRole('button', { name: 'Camera' }).click();
            await page.locator('#go:enabled').waitFor();
          }
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          await shot(page, `${name}-${size}-${colorScheme}`);
          found.push(...(await faults(page)).map((fault) => `${name}, ${size}, ${colorScheme}: ${fault}`));
          if (wide > 0) found.push(`${name}, ${size}: ${wide} pixels wider than the screen`);
          clean(page);
          await page.context().close();
        }
      }
    }
    if (found.length) throw new Error(found.join('\n'));
    return '3 pages, on desktop and phone, light and dark: no fault';
  })));
}

const UNREACHABLE = {
  environment: { CRUVZ__ENGINE__WEBRTC__PUBLIC_ADDRESSES: '["127.0.0.1:9"]', CRUVZ__ENGINE__WEBRTC__TCP: 'false' },
};

export const pages = [
  { name: 'The publish page goes live, the watch page plays it by WebRTC', run: goLiveAndWatch },
  { name: 'Going live by keyboard', run: goLiveByKeyboard },
  { name: 'A wrong key is said, and the right one works', run: wrongKey },
  { name: 'Without WebRTC the watch page plays LL-HLS', run: () => fallsBack({ media: '' }, null) },
  { name: 'With an unreachable WebRTC port the watch page plays LL-HLS', run: () => fallsBack(UNREACHABLE, /LL-HLS.*WebRTC does not work/) },
  { name: 'Far away, over a network that loses 5 %, the watch page holds the picture for repeats', run: holdsForRepeats },
  { name: 'axe finds no fault with the pages', run: accessible },
];
