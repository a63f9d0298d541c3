// A server of our own and a publisher, for as long as a test needs them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SERVER = process.env.CRUVZ_SERVER ?? `${ROOT}/target/debug/cruvz-server`;

/** How long each stream is watched, in seconds. */
export const SECONDS = Number(process.env.SECONDS_PER_RUN ?? 60);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function freePort() {
  const socket = createServer().listen(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const gone = once(child, 'exit');
  await Promise.race([gone, sleep(8000).then(() => child.kill('SIGKILL'))]);
  await gone;
}

/** Resolves once `condition` does to something true. */
export async function until(what, deadlineMs, condition) {
  for (const deadline = Date.now() + deadlineMs; ; await sleep(50)) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
  }
}

/** Starts a server, gives its addresses to `use`, and stops it. `media` is where WebRTC listens; empty: not at all. */
export async function withServer(use, { media = '127.0.0.1', environment = {} } = {}) {
  const [rtmp, srt, http, webrtc] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const addresses = ['--rtmp', `127.0.0.1:${rtmp}`, '--srt', `127.0.0.1:${srt}`, '--http', `127.0.0.1:${http}`, '--webrtc', media && `${media}:${webrtc}`];
  const server = spawn(SERVER, ['serve', ...addresses, '--log-level', 'warn'], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const origin = `http://127.0.0.1:${http}`;
  try {
    await until('the server answers', 20_000, async () => {
      if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
      return (await fetch(`${origin}/livez`).catch(() => ({}))).ok;
    });
    const urls = { rtmp: `rtmp://127.0.0.1:${rtmp}`, srt: `srt://127.0.0.1:${srt}`, origin, webrtc };
    const { transcodes } = await (await fetch(`${origin}/api/v1/server`)).json();
    return await use({ ...urls, transcodes });
  } finally {
    await stop(server);
  }
}

/**
 * Our relay between UDP ports, with what it counted at the end. It listens on `port`; on any for 0. `use` gets its port, and how to change
 * the network.
 */
export async function withRelay(target, conditions, use, port = 0) {
  const relay = spawn(`${ROOT}/target/debug/relay`, ['--listen', `127.0.0.1:${port}`, '--target', `127.0.0.1:${target}`, ...conditions], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: relay.stdout })[Symbol.asyncIterator]();
  const { value: first } = await lines.next();
  const change = async (options) => {
    relay.stdin.write(`${options.join(' ')}\n`);
    const { value } = await lines.next();
    if (value !== 'changed') throw new Error(`the relay said ${value}`);
  };
  try {
    const figures = await use(Number(first.split(':').at(-1)), change);
    relay.stdin.end();
    const { up, down } = JSON.parse((await lines.next()).value);
    return `${figures}; the network lost or damaged ${up.lost + up.flipped} of ${up.datagrams} up, ${down.lost + down.flipped} of ${down.datagrams} down`;
  } finally {
    relay.stdin.end();
    if (relay.exitCode === null) await once(relay, 'exit');
  }
}

const ENCODING = ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-b:v', '1200k'];

/**
 * Publishes colour bars and a tone at `rate` frames per second while `use` runs; `video` says how the picture is encoded, `sources` what
 * else is to be seen and heard (two of lavfi).
 */
export async function withPublisher(url, rate, use, { video, sources } = {}) {
  const gop = Math.round(2 * evaluate(rate));
  const [seen, heard] = sources ?? [`testsrc2=size=640x360:rate=${rate}`, 'sine=frequency=440:sample_rate=48000'];
  const input = ['-re', '-f', 'lavfi', '-i', seen, '-f', 'lavfi', '-i', heard];
  const keyframes = ['-g', `${gop}`, '-keyint_min', `${gop}`, '-sc_threshold', '0'];
  const audio = ['-c:a', 'aac', '-b:a', '96k', '-ac', '2'];
  const encoding = video ?? [...ENCODING, ...keyframes];
  const publisher = spawn('ffmpeg', ['-v', 'error', '-nostdin', ...input, ...encoding, ...audio, '-f', 'flv', url], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let ending = false;
  const broken = once(publisher, 'exit').then(([code]) => {
    if (!ending) throw new Error(`the publisher ended with ${code}`);
  });
  try {
    return await Promise.race([use(), broken.then(() => new Promise(() => {}))]);
  } finally {
    ending = true;
    await stop(publisher);
    await broken;
  }
}

/** `60000/1001` as a number. */
export function evaluate(rate) {
  const [frames, seconds = '1'] = rate.split('/');
  return Number(frames) / Number(seconds);
}
