// The player page: waits for the stream, plays it as close to live as it goes, and says how it does.
import { ask, bitrate, codecs, copyButton, element, fps, repeat, rtmpUrl, size, viewers } from '/assets/common.js';

const byId = (id) => document.getElementById(id);
const [, , app, name] = location.pathname.split('/').map(decodeURIComponent);
const stream = `${app}/${name}`;
const query = location.search;
const video = byId('video');

// Parts are what make latency low. The target is the playlist's PART-HOLD-BACK, which hls.js takes when no duration is set here;
// a tenth faster brings a viewer back who fell behind, and nobody hears it.
const HLS_CONFIG = {
  lowLatencyMode: true,
  maxLiveSyncPlaybackRate: 1.1,
  liveSyncOnStallIncrease: 0.25,
  backBufferLength: 60,
  enableWorker: false,
};
/** Further than this behind the target, in seconds, is not live: hls.js no longer catches up by speed from there. */
const BEHIND = 2;
/** How long a viewer who wants to be live may be behind, in milliseconds, before we seek. */
const PATIENCE_MS = 1500;
/** Fatal errors in a row after which the pause between attempts no longer grows. */
const MAX_PAUSE_MS = 8000;

let hls = null;
let failures = 0;
let restart = 0;
let clockSkewMs = 0;
let known = null;
/** Whether the viewer wants to be live: until they pause or seek back, and again once they are. */
let following = true;
let behindSince = 0;
let lastTime = 0;

/** What covers the picture: `live` nothing, otherwise a title and a sentence. */
function veil(state, title = '', text = '') {
  byId('player').dataset.state = state;
  if (byId('veil-title').textContent !== title) byId('veil-title').textContent = title;
  if (byId('veil-text').textContent !== text) byId('veil-text').textContent = text;
  byId('live').hidden = state !== 'live';
  if (state !== 'live') byId('unmute').hidden = true;
}

function start() {
  clearTimeout(restart);
  restart = 0;
  const url = `/hls/${stream}/index.m3u8${query}`;
  if (window.Hls?.isSupported()) {
    hls = new window.Hls(HLS_CONFIG);
    hls.on(window.Hls.Events.ERROR, (_, error) => error.fatal && failed(error));
    hls.loadSource(url);
    hls.attachMedia(video);
  } else if (video.canPlayType('application/vnd.apple.mpegurl')) {
    hls = { destroy: () => video.removeAttribute('src') };
    video.src = url;
  } else {
    veil('error', 'This browser cannot play live video', 'Try another one, or open one of the addresses on this page in a player.');
    return;
  }
  play();
}

/** With sound where the browser lets us, silent otherwise, until somebody asks for it. */
async function play() {
  try {
    await video.play();
  } catch (refusal) {
    if (refusal.name !== 'NotAllowedError') return;
    video.muted = true;
    byId('unmute').hidden = false;
    video.play().catch(() => {});
  }
}

function stop() {
  clearTimeout(restart);
  restart = 0;
  hls?.destroy();
  hls = null;
  following = true;
  lastTime = 0;
}

/** A fatal error: media errors are mended in place once, everything else begins anew after a pause. */
function failed(error) {
  const media = error.type === window.Hls.ErrorTypes.MEDIA_ERROR;
  failures += 1;
  if (media && failures === 1) {
    hls.recoverMediaError();
    return;
  }
  stop();
  if (error.details === 'manifestIncompatibleCodecsError' || error.details === 'bufferAddCodecError') {
    veil('error', 'This browser cannot decode the stream', `It is coded as ${known ? codecs(known) : 'something unknown'}.`);
    restart = -1;
    return;
  }
  const status = error.response?.code;
  if (status === 401 || status === 403) {
    veil('error', 'You may not watch this stream', 'The server refused. A link with a valid key may be needed.');
    restart = -1;
    return;
  }
  veil('error', 'The connection was lost', 'Trying again…');
  restart = setTimeout(start, Math.min(MAX_PAUSE_MS, 500 * 2 ** failures));
}

/** Asks how the stream is and follows it: starts, waits, stops. */
async function follow() {
  let info;
  try {
    info = await ask(`/api/v1/streams/${stream}`);
  } catch {
    if (!hls || video.paused || video.readyState < 3) veil('error', 'The server does not answer', 'Trying again…');
    return;
  }
  known = info;
  describe(info);
  if (!info) {
    stop();
    failures = 0;
    veil('offline', `${name} is not live`, 'This page starts by itself when it is.');
  } else if (info.state === 'grace' && (!hls || video.readyState < 3)) {
    veil('grace', 'The publisher is gone', 'Waiting for it to come back…');
  } else if (info.playable && !hls && !restart) {
    veil('connecting', 'Connecting…');
    start();
  } else if (!info.playable) {
    veil('connecting', 'Almost there', 'The publisher is connected; waiting for its first picture.');
  }
}

function describe(info) {
  const set = (id, text) => (byId(id).textContent = text || '–');
  set('bitrate', info && bitrate(info.latest.bytes * 8));
  set('size', info && size(info));
  set('fps', info && fps(info));
  set('codecs', info && codecs(info));
  set('viewers', info && String(info.viewers));
  byId('subtitle').textContent = info ? [info.state === 'live' ? 'Live' : 'Reconnecting', viewers(info.viewers)].join(' · ') : 'Offline';
}

/** What only this player knows, several times a second. */
function measure() {
  const set = (id, text) => byId(id).textContent !== text && (byId(id).textContent = text);
  const playing = hls && video.readyState > 2;
  if (playing && byId('player').dataset.state !== 'live') {
    veil('live');
    failures = 0;
    byId('unmute').hidden = !video.muted;
  }
  const latency = playing ? latencySeconds() : null;
  set('latency', latency === null ? '–' : `${latency.toFixed(1)} s`);
  const edge = playing && !video.paused && (hls.latency ?? 0) - (hls.targetLatency ?? 0) < BEHIND;
  keepLive(playing && !edge);
  lastTime = video.currentTime;
  byId('live').dataset.edge = edge;
  set('live-text', edge ? 'LIVE' : 'GO LIVE');
  byId('live').setAttribute('aria-label', edge ? 'Playing live' : 'Go back to live');
  const { droppedVideoFrames: dropped = 0, totalVideoFrames: total = 0 } = video.getVideoPlaybackQuality?.() ?? {};
  set('dropped', playing ? `${dropped} of ${total}` : '–');
  const ahead = video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
  set('buffer', playing ? `${Math.max(0, ahead).toFixed(1)} s` : '–');
}

/** From the server's receipt of what is on screen to now, by the server's clock; else the distance from the playlist's end. */
function latencySeconds() {
  const date = hls.playingDate?.getTime();
  if (date) return Math.max(0, (Date.now() + clockSkewMs - date) / 1000);
  return hls.latency ?? null;
}

/** Brings back a viewer whom the network, and not their own wish, left behind. */
function keepLive(behind) {
  if (!behind) {
    following ||= !video.paused && video.readyState > 2;
    behindSince = 0;
  } else if (following && !video.paused) {
    behindSince ||= performance.now();
    if (performance.now() - behindSince > PATIENCE_MS) {
      behindSince = 0;
      goLive();
    }
  }
}

function goLive() {
  following = true;
  const edge = hls?.liveSyncPosition;
  if (edge) video.currentTime = edge;
  else if (video.seekable.length) video.currentTime = video.seekable.end(video.seekable.length - 1);
  play();
}

/** The bitrate of the last five minutes, or as long as there is. */
async function draw() {
  const samples = known && (await ask(`/api/v1/streams/${stream}/samples?seconds=300`).catch(() => null));
  const canvas = byId('chart');
  const pen = canvas.getContext('2d');
  const { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  const rates = (samples?.items ?? []).map((sample) => sample.bytes * 8);
  const peak = Math.max(...rates, 1);
  byId('span').textContent = rates.length < 120 ? `Bitrate, last ${rates.length} s` : `Bitrate, last ${Math.round(rates.length / 60)} min`;
  byId('peak').textContent = rates.length ? `peak ${bitrate(peak)}` : '';
  if (rates.length < 2) return;
  const x = (at) => (at * width) / (rates.length - 1);
  const y = (rate) => height - 3 - (rate / peak) * (height - 12);
  const line = new Path2D();
  rates.forEach((rate, at) => line.lineTo(x(at), y(rate)));
  const area = new Path2D(line);
  area.lineTo(width, height);
  area.lineTo(0, height);
  pen.strokeStyle = pen.fillStyle = getComputedStyle(canvas).getPropertyValue('color');
  pen.lineWidth = 3;
  pen.lineJoin = 'round';
  pen.stroke(line);
  pen.globalAlpha = 0.16;
  pen.fill(area);
  pen.globalAlpha = 1;
}

async function describeServer() {
  const asked = Date.now();
  const server = await ask('/api/v1/server').catch(() => null);
  if (server) clockSkewMs = server.now_unix_ms - (asked + Date.now()) / 2;
  const { origin, protocol, host } = location;
  const rtmp = rtmpUrl(server, app);
  const urls = [
    ['HLS and LL-HLS', `${origin}/hls/${stream}/index.m3u8${query}`],
    ['HTTP-FLV', `${origin}/flv/${stream}.flv${query}`],
    ['MPEG-TS', `${origin}/ts/${stream}.ts${query}`],
    ['WebSocket-FLV', `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/flv/${stream}.flv${query}`],
    ...(rtmp ? [['RTMP', `${rtmp}/${name}${query}`]] : []),
  ];
  byId('urls').replaceChildren(...urls.map(([title, url]) => {
    const code = element('code', '', url);
    return element('div', '', element('dt', '', title), element('dd', '', code, copyButton(code, title)));
  }));
}

document.title = `${stream} · Cruvz`;
byId('title').textContent = stream;
byId('live').addEventListener('click', goLive);
byId('unmute').addEventListener('click', () => {
  video.muted = false;
  byId('unmute').hidden = true;
});
// A browser may pause a page that nobody sees; that is nobody's wish.
video.addEventListener('pause', () => (following &&= document.hidden));
video.addEventListener('seeking', () => (following &&= video.currentTime > lastTime - 1));
video.addEventListener('volumechange', () => {
  if (!video.muted) byId('unmute').hidden = true;
});
veil('connecting', 'Connecting…');
describeServer();
repeat(2, follow);
repeat(5, draw);
setInterval(measure, 250);
