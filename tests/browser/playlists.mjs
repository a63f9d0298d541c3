// A live stream's playlists, polled at every change, parse in four independent parsers and obey the rules of rfc8216bis.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import HLS from 'hls-parser';
import { Parser } from 'm3u8-parser';

import { SECONDS, withPublisher, withServer } from './live.mjs';

const run = promisify(execFile);
export const HERE = fileURLToPath(new URL('.', import.meta.url));
export const RUST_PARSER = process.env.PARSE_PLAYLISTS ?? join(HERE, '../../target/debug/examples/parse_playlists');

// The rule behind each message is named by its clause.
export function assert(holds, message) {
  if (!holds) throw new Error(message);
}

/** What two parsers say of `text`, which must agree. */
export function parse(text) {
  HLS.setOptions({ strictMode: true });
  const strict = HLS.parse(text);
  const parser = new Parser();
  parser.push(text);
  parser.end();
  const { manifest } = parser;
  assert(manifest.mediaSequence === strict.mediaSequenceBase, 'parsers differ on EXT-X-MEDIA-SEQUENCE');
  assert(manifest.targetDuration === strict.targetDuration, 'parsers differ on EXT-X-TARGETDURATION');
  return strict;
}

/** Checks one playlist against the rules, and against the one before it. */
function check(playlist, before) {
  const { targetDuration, partTargetDuration, mediaSequenceBase, lowLatencyCompatibility: control } = playlist;
  assert(control?.canBlockReload, '§4.4.3.8: CAN-BLOCK-RELOAD');
  assert(control.partHoldBack >= 3 * partTargetDuration - 1e-9, '§4.4.3.8: PART-HOLD-BACK is at least three part targets');
  assert(control.canSkipUntil >= 6 * targetDuration, '§4.4.3.8: CAN-SKIP-UNTIL is at least six target durations');
  for (const segment of playlist.segments) {
    const parts = segment.parts.filter((part) => !part.hint);
    for (const part of parts) {
      assert(part.duration <= partTargetDuration, `§4.4.4.9: part ${part.uri} of ${part.duration} s exceeds PART-TARGET`);
    }
    for (const part of parts.slice(0, -1)) {
      assert(part.duration >= 0.85 * partTargetDuration, `§4.4.4.9: part ${part.uri} of ${part.duration} s is too short`);
    }
    if (!segment.uri) continue;
    assert(Math.round(segment.duration) <= targetDuration, `§4.4.3.1: ${segment.uri} is longer than the target duration`);
    assert(segment.programDateTime, `${segment.uri} has no date`);
    const sum = parts.reduce((total, part) => total + part.duration, 0);
    assert(parts.length === 0 || Math.abs(sum - segment.duration) < 0.001, `${segment.uri} is not the sum of its parts`);
  }
  if (!before) return;
  assert(targetDuration === before.targetDuration && partTargetDuration === before.partTargetDuration, '§6.2.1: targets must not change');
  assert(mediaSequenceBase >= before.mediaSequenceBase, '§6.2.2: EXT-X-MEDIA-SEQUENCE must not decrease');
  const known = new Map(before.segments.map((segment) => [segment.mediaSequenceNumber, segment.uri]));
  for (const { mediaSequenceNumber, uri } of playlist.segments) {
    assert(!known.get(mediaSequenceNumber) || known.get(mediaSequenceNumber) === uri, '§6.2.1: a segment must not change');
  }
}

/** The next reload's directives: the part after the last one listed. */
function next(playlist) {
  const filling = playlist.segments.at(-1);
  const parts = filling.uri ? 0 : filling.parts.filter((part) => !part.hint).length;
  const msn = filling.uri ? filling.mediaSequenceNumber + 1 : filling.mediaSequenceNumber;
  return `_HLS_msn=${msn}&_HLS_part=${parts}`;
}

async function poll() {
  const folder = await mkdtemp(join(tmpdir(), 'cruvz-playlists-'));
  try {
    return await withServer(({ rtmp, origin }) => withPublisher(`${rtmp}/live/bars`, '30', async () => {
      const base = `${origin}/hls/live/bars`;
      const fetchText = async (path, status = 200) => {
        const response = await fetch(`${base}/${path}`);
        assert(response.status === status, `${path}: ${response.status}`);
        return response.text();
      };
      await writeFile(join(folder, 'index.m3u8'), await fetchText('index.m3u8'));
      let [query, before, polls, bytes, skipped] = ['', null, 0, 0, 0];
      for (const end = Date.now() + SECONDS * 1000; Date.now() < end; polls += 1) {
        const text = await fetchText(`main.m3u8${query && `?${query}`}`);
        bytes += text.length;
        await writeFile(join(folder, `${String(polls).padStart(5, '0')}.m3u8`), text);
        const playlist = parse(text);
        check(playlist, before);
        query = next(playlist);
        before = playlist;
        if (polls % 10 === 9) {
          const delta = await fetchText('main.m3u8?_HLS_skip=YES');
          skipped += Number(/SKIPPED-SEGMENTS=(\d+)/.exec(delta)?.[1] ?? 0);
        }
      }
      assert(polls >= 4 * SECONDS, `${polls} polls in ${SECONDS} s: reloads do not follow parts`);
      await fetchText('main.m3u8?_HLS_msn=99999', 400);
      await fetchText('main.m3u8?_HLS_part=1', 400);
      await fetchText('main.none.0.m4s', 404);
      await run(RUST_PARSER, [folder]);
      await run('python3', [join(HERE, 'playlists.py'), folder]);
      return `${polls} playlists of ${Math.round(bytes / polls)} bytes, ${skipped} segments skipped in delta updates`;
    }));
  } finally {
    await rm(folder, { recursive: true });
  }
}

export const playlists = [{ name: 'playlists in hls-parser, m3u8-parser, m3u8-rs and m3u8', run: poll }];
