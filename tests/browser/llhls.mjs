// hls.js in Chromium watches a live stream with parts of 200 ms: sound and picture, in step with real time, without an error.
// With STRICT=1, for a machine that does nothing else, it must also stay within 1.5 s of live and never stall; else latency
// and stalls are only printed.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

import { SECONDS, evaluate, sleep, withPublisher, withServer } from './live.mjs';

const require = createRequire(import.meta.url);
const MAX_LATENCY_S = 1.5;
const STRICT = process.env.STRICT === '1';
/** What a player needs to find its place; figures count from then on. */
const SETTLE_MS = 6_000;
/** The second viewer joins when the playlist has many segments. */
const LATE_MS = 16_000;

export const CHROMIUM = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
};

/** Runs in the page: plays `url` and keeps what it sees in `window.seen`. */
function play(url) {
  const video = document.querySelector('video');
  const seen = { errors: [], samples: [], stalls: [], playing: null };
  window.seen = seen;
  const hls = new window.Hls({ lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.1 });
  hls.on(window.Hls.Events.ERROR, (_, error) => seen.errors.push(`${error.details}${error.fatal ? ' (fatal)' : ''}`));
  video.addEventListener('playing', () => (seen.playing ??= performance.now()));
  video.addEventListener('waiting', () => seen.playing && seen.stalls.push(video.currentTime));
  hls.loadSource(url);
  hls.attachMedia(video);
  setInterval(() => {
    if (seen.playing) seen.samples.push([performance.now() - seen.playing, hls.latency, video.currentTime]);
  }, 200);
  window.report = () => {
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
    return { ...seen, totalVideoFrames, droppedVideoFrames, audioBytes: video.webkitAudioDecodedByteCount };
  };
}

/** A page of `origin` with a video element and hls.js. */
export async function page(browser, origin) {
  const page = await browser.newPage();
  const script = await readFile(require.resolve('hls.js/dist/hls.min.js'), 'utf8');
  await page.route(`${origin}/test/*`, (route) =>
    route.request().url().endsWith('.js')
      ? route.fulfill({ contentType: 'text/javascript', body: script })
      : route.fulfill({ contentType: 'text/html', body: '<!doctype html><video autoplay muted playsinline></video><script src="hls.js"></script>' }));
  await page.goto(`${origin}/test/page.html`);
  return page;
}

async function viewer(browser, url) {
  const opened = await page(browser, new URL(url).origin);
  await opened.evaluate(play, url);
  return opened;
}

/** Judges what a viewer saw; the figures as text, or an error. */
function judge(who, rate, seen) {
  const settled = seen.samples.filter(([ms]) => ms > SETTLE_MS);
  if (settled.length === 0) throw new Error(`${who}: never played: ${JSON.stringify(seen)}`);
  const latencies = settled.map(([, latency]) => latency).sort((a, b) => a - b);
  const quantile = (q) => latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))];
  const [first, last] = [settled[0], settled.at(-1)];
  const pace = (last[2] - first[2]) / ((last[0] - first[0]) / 1000);
  const fps = seen.totalVideoFrames / (seen.samples.at(-1)[0] / 1000);
  const figures = `${who}: latency p50 ${quantile(0.5).toFixed(2)} p95 ${quantile(0.95).toFixed(2)} max ${latencies.at(-1).toFixed(2)} s, `
    + `pace ${pace.toFixed(3)}, ${seen.totalVideoFrames} frames (${fps.toFixed(1)}/s, ${seen.droppedVideoFrames} dropped), `
    + `${seen.audioBytes} bytes of sound, ${seen.stalls.length} stalls`;
  const wrong = [
    STRICT && quantile(0.95) > MAX_LATENCY_S && `latency above ${MAX_LATENCY_S} s`,
    STRICT && seen.stalls.length > 0 && `stalls at ${seen.stalls}`,
    seen.errors.some((error) => STRICT || error.includes('fatal')) && `errors: ${seen.errors}`,
    Math.abs(pace - 1) > (STRICT ? 0.02 : 0.2) && 'not in step with real time',
    fps < (STRICT ? 0.9 : 0.7) * evaluate(rate) && 'frames are missing',
    seen.audioBytes === 0 && 'no sound',
  ].filter(Boolean);
  if (wrong.length > 0) throw new Error(`${wrong.join('; ')} (${figures})`);
  return figures;
}

async function watch(rate) {
  return withServer(async ({ rtmp, origin }) => {
    const browser = await chromium.launch(CHROMIUM);
    try {
      return await withPublisher(`${rtmp}/live/bars`, rate, async () => {
        const url = `${origin}/hls/live/bars/index.m3u8`;
        const early = await viewer(browser, url);
        await sleep(LATE_MS);
        const late = await viewer(browser, url);
        await sleep(SETTLE_MS + SECONDS * 1000);
        const seen = [await early.evaluate(() => window.report()), await late.evaluate(() => window.report())];
        return `${judge('joined at one segment', rate, seen[0])}; ${judge('joined at many', rate, seen[1])}`;
      });
    } finally {
      await browser.close();
    }
  });
}

export const llhls = ['25', '30', '60000/1001'].map((rate) => ({
  name: `LL-HLS in hls.js at ${evaluate(rate).toFixed(2)} fps`,
  run: () => watch(rate),
}));
