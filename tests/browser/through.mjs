// Goes live and watches with our own pages in Chromium, from wherever it runs, and prints as one JSON object what they said and
// which way media took. tests/interop runs it inside networks of its own making.
// usage: node through.mjs ORIGIN KEY
import { keepConnections, launchChromium } from './browsers.mjs';
import { sleep } from './live.mjs';

const [origin, key] = process.argv.slice(2);
/** Longer than our pages try. */
const DEADLINE_MS = 25_000;
const WATCHED_MS = 3000;

/** The way of the newest connection: `udp` or `tcp` to the server's address, `relay` in between; null without one. */
async function way() {
  const connection = window.kept.at(-1);
  const reports = [...(await connection?.getStats() ?? new Map()).values()];
  const transport = reports.find(({ type }) => type === 'transport');
  const pair = reports.find(({ id }) => id === transport?.selectedCandidatePairId);
  if (!pair || connection.connectionState !== 'connected') return null;
  const [local, remote] = [pair.localCandidateId, pair.remoteCandidateId].map((wanted) => reports.find(({ id }) => id === wanted));
  const inbound = (kind) => reports.find((report) => report.type === 'inbound-rtp' && report.kind === kind);
  return {
    protocol: local.candidateType === 'relay' ? `relay by ${local.relayProtocol}` : local.protocol,
    to: `${remote.address}:${remote.port}`,
    pictures: inbound('video')?.framesDecoded ?? 0,
    sound: inbound('audio')?.totalAudioEnergy ?? 0,
  };
}

/** What the element says once it says something that `done` matches, or at the deadline. */
async function said(page, id, done) {
  let text = '';
  for (const until = Date.now() + DEADLINE_MS; Date.now() < until && !done.test(text); await sleep(100)) {
    text = await page.locator(`#${id}`).innerText();
  }
  return text;
}

const browser = await launchChromium([`--unsafely-treat-insecure-origin-as-secure=${origin}`]);
try {
  const context = await browser.newContext({ permissions: ['camera', 'microphone'] });
  await context.addInitScript(keepConnections);
  const open = async (path) => {
    const page = await context.newPage();
    await page.goto(`${origin}${path}`);
    return page;
  };
  const publish = await open(`/publish/live/cam?key=${key}`);
  await publish.getByRole('button', { name: 'Camera' }).click();
  await publish.locator('#go:enabled').waitFor();
  const began = Date.now();
  await publish.getByRole('button', { name: 'Go live' }).click();
  await said(publish, 'state', /^(Connecting|Live)/);
  const state = await said(publish, 'state', /^(Live|Off air)$/);
  const publishing = { state, ms: Date.now() - began, failure: await publish.locator('#failure').innerText(), way: await publish.evaluate(way) };

  const opened = Date.now();
  // Another stream where this one could not be published: somebody's who is nearer to the server.
  const watch = await open(`/watch/live/${state === 'Live' ? 'cam' : 'near'}`);
  const protocol = await said(watch, 'protocol', /^(WebRTC|LL-HLS)$/);
  const ms = Date.now() - opened;
  await sleep(WATCHED_MS);
  console.log(JSON.stringify({ publishing, watching: { protocol, ms, notes: await watch.locator('#notes').innerText(), way: await watch.evaluate(way) } }));
} finally {
  await browser.close();
}
