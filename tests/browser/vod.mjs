// A recording, while it goes on and when it has ended: its playlists parse in four independent parsers and obey the rules of
// rfc8216bis, and hls.js in Chromium plays and seeks it.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

import { CHROMIUM, page } from './llhls.mjs';
import { until, withPublisher, withServer } from './live.mjs';
import { HERE, RUST_PARSER, assert, parse } from './playlists.mjs';

const run = promisify(execFile);
const RECORD_MS = 10_000;

/** Checks a Media Playlist of a recording, and against the one before it. */
function check(text, type, before) {
  const playlist = parse(text);
  assert(playlist.playlistType === type, `§4.4.3.5: EXT-X-PLAYLIST-TYPE is ${playlist.playlistType}, not ${type}`);
  assert(playlist.endlist === (type === 'VOD'), '§4.4.3.4: EXT-X-ENDLIST');
  for (const { uri, duration, programDateTime } of playlist.segments) {
    assert(Math.round(duration) <= playlist.targetDuration, `§4.4.3.1: ${uri} is longer than the target duration`);
    assert(programDateTime, `${uri} has no date`);
  }
  if (!before) return playlist;
  assert(playlist.targetDuration === before.targetDuration, '§6.2.1: EXT-X-TARGETDURATION must not change');
  before.segments.forEach(({ uri }, number) => assert(playlist.segments[number].uri === uri, '§4.4.3.5: an EVENT only grows'));
  return playlist;
}

/** Runs in the page: plays `url` to its middle and from there to its end. */
async function watch(url) {
  const video = document.querySelector('video');
  const errors = [];
  const hls = new window.Hls();
  hls.on(window.Hls.Events.ERROR, (_, error) => errors.push(`${error.details}${error.fatal ? ' (fatal)' : ''}`));
  const event = (name) => new Promise((resolve) => video.addEventListener(name, resolve, { once: true }));
  const playing = event('playing');
  hls.loadSource(url);
  hls.attachMedia(video);
  await playing;
  const { duration } = video;
  const seeked = event('seeked');
  video.currentTime = duration / 2;
  await seeked;
  const at = video.currentTime;
  video.playbackRate = 2;
  await event('ended');
  const { totalVideoFrames } = video.getVideoPlaybackQuality();
  return { errors, duration, at, end: video.currentTime, totalVideoFrames, audioBytes: video.webkitAudioDecodedByteCount };
}

async function recorded() {
  const folder = await mkdtemp(join(tmpdir(), 'cruvz-vod-'));
  const environment = { CRUVZ__ENGINE__RECORD__FOLDER: join(folder, 'store') };
  const browser = await chromium.launch(CHROMIUM);
  try {
    return await withServer(async ({ rtmp, origin }) => {
      const api = async (path, options) => {
        const response = await fetch(`${origin}/api/v1/recordings${path}`, options);
        assert(response.ok, `${path}: ${response.status}`);
        return response.json();
      };
      const text = async (path) => (await fetch(`${origin}/vod/${path}`)).text();
      const { id, ended } = await withPublisher(`${rtmp}/live/bars`, '30', async () => {
        const body = JSON.stringify({ stream: 'live/bars' });
        const { id } = await api('', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
        let before;
        await until('ten seconds of recording', 60_000, async () => {
          const playlist = await text(`${id}/main.m3u8`);
          if (playlist.startsWith('#EXTM3U')) before = check(playlist, 'EVENT', before);
          return (await api(`/${id}`)).duration_ms >= RECORD_MS;
        });
        const ended = await api(`/${id}/stop`, { method: 'POST' });
        check(await text(`${id}/main.m3u8`), 'VOD', before);
        return { id, ended };
      });
      const playlists = join(folder, 'playlists');
      await mkdir(playlists);
      for (const name of ['index', 'main']) await writeFile(join(playlists, `${name}.m3u8`), await text(`${id}/${name}.m3u8`));
      await run(RUST_PARSER, [playlists]);
      await run('python3', [join(HERE, 'playlists.py'), playlists]);
      const seen = await (await page(browser, origin)).evaluate(watch, `${origin}/vod/${id}/index.m3u8`);
      const seconds = ended.duration_ms / 1000;
      const figures = `${ended.segments} segments, ${seconds} s; hls.js: ${seen.duration.toFixed(3)} s, ${seen.totalVideoFrames} frames`;
      assert(!seen.errors.some((error) => error.includes('fatal')), `${seen.errors} (${figures})`);
      assert(Math.abs(seen.duration - seconds) <= 0.1, `the player says another duration (${figures})`);
      assert(Math.abs(seen.at - seen.duration / 2) <= 0.1, `a seek to the middle led to ${seen.at} (${figures})`);
      assert(Math.abs(seen.end - seen.duration) <= 0.1 && seen.audioBytes > 0 && seen.totalVideoFrames > 60, `it did not play (${figures})`);
      return figures;
    }, { environment });
  } finally {
    await browser.close();
    await rm(folder, { recursive: true });
  }
}

export const vod = [{ name: 'a recording by HLS, in four parsers and in hls.js', run: recorded }];
