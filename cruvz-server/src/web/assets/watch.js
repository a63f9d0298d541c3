// The player page: waits for the stream, plays it as close to live as it goes, and says how it does.
import { ask, bitrate, codecs, copyButton, element, fps, repeat, rtmpUrl, size, viewers } from '/assets/common.js';
import { HlsPlayer } from '/assets/play-hls.js';
import { WhepPlayer } from '/assets/play-whep.js';
import { supported } from '/assets/webrtc.js';

const byId = (id) => document.getElementById(id);
const [, , app, name] = location.pathname.split('/').map(decodeURIComponent);
const stream = `${app}/${name}`;
const query = location.search;
const video = byId('video');

/** After a fatal error the pause before the next attempt doubles, up to this. */
const MAX_PAUSE_MS = 8000;
/** A player that played for so long, in milliseconds, had no trouble getting started. */
const GOOD_RUN_MS = 10_000;
/** Clocks may differ by less than what is measured; a latency that says more than this, in seconds, is not one. */
const MAX_LATENCY_S = 60;

let server = null;
let clockSkewMs = 0;
let known = null;
let player = null;
let startedAt = 0;
let failures = 0;
let restart = 0;
/** Why there will be no new attempt by itself. */
let given = false;
/** What the viewer chose; `null`: WebRTC if it works. */
let wish = null;
/** Why WebRTC does not work here, in words. */
let whyNot = '';

/** What covers the picture: `live` nothing, otherwise a title and a sentence. */
function veil(state, title = '', text = '') {
  byId('player').dataset.state = state;
  if (byId('veil-title').textContent !== title) byId('veil-title').textContent = title;
  if (byId('veil-text').textContent !== text) byId('veil-text').textContent = text;
  byId('live').hidden = state !== 'live';
  if (state !== 'live') byId('unmute').hidden = true;
}

/** The kinds of media that the stream has. */
const kinds = () => ['video', 'audio'].filter((kind) => known?.tracks.some((track) => track.kind === kind));
const hasWebrtc = () => supported() && Boolean(server?.webrtc_port);

function start() {
  clearTimeout(restart);
  restart = 0;
  startedAt = performance.now();
  if (wish === 'WebRTC' || (wish === null && hasWebrtc() && !whyNot)) {
    // Who chose WebRTC gets what there is; for everybody else a stream without its sound is no stream.
    player = new WhepPlayer(video, `/whep/${stream}${query}`, wish ? [] : kinds(), webrtcFailed);
  } else if (HlsPlayer.supported(video)) {
    player = new HlsPlayer(video, `/hls/${stream}/index.m3u8${query}`, hlsFailed);
  } else {
    given = true;
    veil('error', 'This browser cannot play live video', 'Try another one, or open one of the addresses on this page in a player.');
  }
  notes();
}

function stop() {
  clearTimeout(restart);
  restart = 0;
  player?.stop();
  player = null;
}

function again(words = '') {
  stop();
  failures += 1;
  veil('error', 'The connection was lost', `${words ? `${sentence(words)} ` : ''}Trying again…`);
  restart = setTimeout(start, Math.min(MAX_PAUSE_MS, 500 * 2 ** failures));
}

const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}.`;

function denied() {
  stop();
  given = true;
  veil('error', 'You may not watch this stream', 'The server refused. A link with a valid key may be needed.');
}

/** Without WebRTC there is HLS, unless the viewer wants it so. */
function webrtcFailed({ kind, words }) {
  if (kind === 'denied') {
    denied();
  } else if (wish === 'WebRTC') {
    again(words);
  } else if (kind === 'lost' && performance.now() - startedAt > GOOD_RUN_MS) {
    again();
  } else {
    whyNot = kind === 'missing' ? `the server cannot send this stream’s ${words.map(codecOf).join(' and ')} by WebRTC` : words;
    stop();
    start();
  }
}

const codecOf = (kind) => `${known?.tracks.find((track) => track.kind === kind)?.codec ?? ''} ${kind}`.trim();

function hlsFailed({ kind }) {
  if (kind === 'refused') {
    denied();
  } else if (kind === 'codec') {
    stop();
    given = true;
    veil('error', 'This browser cannot decode the stream', `It is coded as ${known ? codecs(known) : 'something unknown'}.`);
  } else {
    again();
  }
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

/** Asks how the stream is and follows it: starts, waits, stops. */
async function follow() {
  let info;
  try {
    if (!server) await describeServer();
    info = await ask(`/api/v1/streams/${stream}`);
  } catch {
    if (!player || video.paused || video.readyState < 3) veil('error', 'The server does not answer', 'Trying again…');
    return;
  }
  known = info;
  describe(info);
  if (!info) {
    stop();
    failures = 0;
    given = false;
    whyNot = '';
    veil('offline', `${name} is not live`, 'This page starts by itself when it is.');
  } else if (info.state === 'grace' && !player?.measure(true).playing) {
    veil('grace', 'The publisher is gone', 'Waiting for it to come back…');
  } else if (info.playable && !player && !restart && !given) {
    veil('connecting', 'Connecting…');
    start();
  } else if (!info.playable) {
    veil('connecting', 'Almost there', 'The publisher is connected; waiting for its first picture.');
  }
  notes();
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
  const seen = player?.measure(known?.state === 'grace') ?? {};
  if (seen.playing && byId('player').dataset.state !== 'live') {
    veil('live');
    failures = 0;
    byId('unmute').hidden = !video.muted;
    notes();
  }
  set('protocol', player && seen.playing ? player.protocol : '–');
  set('latency', seen.playing ? seconds(latency(seen)) : '–');
  byId('live').dataset.edge = Boolean(seen.edge);
  set('live-text', seen.edge ? 'LIVE' : 'GO LIVE');
  byId('live').setAttribute('aria-label', seen.edge ? 'Playing live' : 'Go live again');
  set('dropped', seen.playing ? `${seen.dropped} of ${seen.total}` : '–');
  set('buffer', seen.playing ? seconds(seen.buffer) : '–');
}

/** From the server's receipt of what is on screen to now, by the server's clock; else as long as the player holds it. */
function latency({ date, latency }) {
  const measured = (Date.now() + clockSkewMs - date) / 1000;
  return measured < MAX_LATENCY_S && measured > -1 ? Math.max(0, measured) : latency;
}

function seconds(value) {
  if (value === undefined || value === null) return '–';
  return value < 1 ? `${Math.round(value * 100) * 10} ms` : `${value.toFixed(1)} s`;
}

/** The protocol that does not play now. */
const other = () => ((player?.protocol ?? wish) === 'LL-HLS' ? 'WebRTC' : 'LL-HLS');

/** What the viewer should know of how it plays, and the publisher of what would be better. */
function notes() {
  const texts = [];
  const byWebrtc = player?.protocol === 'WebRTC';
  byId('switch').hidden = !known || !hasWebrtc();
  byId('switch').textContent = `Switch to ${other()}`;
  if (player && !byWebrtc && whyNot) texts.push(`Playing by LL-HLS, a second or more behind live. WebRTC does not work here: ${whyNot}.`);
  if (byWebrtc && byId('player').dataset.state === 'live') {
    const missing = kinds().filter((kind) => !player.kinds.includes(kind));
    if (missing.length) texts.push(`Without ${missing.includes('audio') ? 'sound' : 'picture'}: the server cannot send ${missing.map(codecOf).join(' and ')} by WebRTC. LL-HLS has it.`);
  }
  if (known?.tracks.some((track) => track.reordered)) {
    const isMade = known.transcoded.some(({ by, reason }) => by === 'webrtc' && reason === 'reordered');
    const cost = isMade
      ? 'which delay everybody, and for WebRTC viewers the server encodes the picture again without them'
      : 'which delay everybody, and WebRTC viewers may get few of its pictures';
    texts.push(`For the publisher: this stream has B-frames, ${cost}. Switch them off: in OBS set B-frames to 0 or tune “zerolatency”, in ffmpeg add -bf 0.`);
  }
  const list = byId('notes');
  if ([...list.children].map((note) => note.textContent).join() === texts.join()) return;
  list.replaceChildren(...texts.map((text) => element('p', 'notice calm', text)));
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
  server = await ask('/api/v1/server');
  clockSkewMs = server.now_unix_ms - (asked + Date.now()) / 2;
  const { origin, protocol, host } = location;
  const rtmp = rtmpUrl(server, app);
  const urls = [
    ...(server.webrtc_port ? [['WHEP (WebRTC)', `${origin}/whep/${stream}${query}`]] : []),
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
byId('live').addEventListener('click', () => {
  player?.goLive();
  play();
});
byId('switch').addEventListener('click', () => {
  wish = other();
  failures = 0;
  given = false;
  stop();
  veil('connecting', 'Connecting…');
  start();
});
byId('unmute').addEventListener('click', () => {
  video.muted = false;
  byId('unmute').hidden = true;
});
video.addEventListener('volumechange', () => {
  if (!video.muted) byId('unmute').hidden = true;
});
// Both players give the element its source when they are ready.
video.addEventListener('loadstart', play);
addEventListener('pagehide', stop);
veil('connecting', 'Connecting…');
repeat(2, follow);
repeat(5, draw);
setInterval(measure, 250);
