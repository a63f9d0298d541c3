// Going live from the browser: what to show, how it looks, and whether it arrives.
import { ask, bitrate, copyButton, element, repeat } from '/assets/common.js';
import { allowed, capture, explain, list, screens } from '/assets/capture.js';
import { WhipSender, videoCodecs } from '/assets/send-whip.js';
import { Refusal, supported } from '/assets/webrtc.js';

const byId = (id) => document.getElementById(id);
const [, , app, name] = location.pathname.split('/').map(decodeURIComponent);
const stream = `${app}/${name}`;

/** Bits per second of video by the height of the picture: good for H.264 at 30 fps. */
const BITRATES = { 360: 700_000, 480: 1_200_000, 720: 2_500_000, 1080: 4_500_000 };
/** Attempts to come back after a lost connection, the pause before each in milliseconds; the server keeps a stream for 10 s. */
const PAUSES_MS = [0, 500, 1000, 2000, 4000, 8000];

let picture = null;
let media = null;
let sender = null;
let since = 0;
/** The newest wish: what was begun for an older one is dropped. */
let turn = 0;

const value = (id) => byId(id).value;
const announce = (text) => byId('state').textContent !== text && (byId('state').textContent = text);

function fail(text) {
  byId('failure').textContent = text;
  byId('failure').hidden = !text;
}

/** Records what is chosen, shows it, and sends it if we are live. */
async function record(wanted) {
  fail('');
  const chosen = { picture: wanted, camera: value('camera'), microphone: value('microphone'), height: Number(value('quality')) };
  let recorded;
  try {
    recorded = await capture(chosen);
  } catch (error) {
    fail(explain(error, wanted));
    return;
  }
  const before = media;
  media = recorded;
  picture = wanted;
  show();
  mute(byId('mute').getAttribute('aria-pressed') === 'true');
  // Somebody may end sharing in the browser's own bar.
  for (const track of media.getTracks()) track.addEventListener('ended', () => media === recorded && ended(track));
  if (sender && !(await sender.replace(media))) await goLive();
  for (const track of before?.getTracks() ?? []) track.stop();
  await fillDevices();
}

function show() {
  const video = media.getVideoTracks().length > 0;
  byId('preview').srcObject = media;
  byId('player').dataset.state = video ? 'live' : 'sound';
  byId('preview').classList.toggle('mirror', picture === 'camera');
  if (!video) {
    byId('veil-title').textContent = 'Sound alone';
    byId('veil-text').textContent = '';
  }
  for (const button of document.querySelectorAll('[data-picture]')) button.setAttribute('aria-pressed', String(button.dataset.picture === picture));
  byId('camera').disabled = picture !== 'camera';
  byId('codec').disabled = !video || sender !== null;
  byId('go').disabled = false;
  byId('mute').disabled = media.getAudioTracks().length === 0;
}

function ended(track) {
  fail(track.kind === 'video' ? 'The picture has ended: choose what to show.' : 'The microphone is gone: choose another one.');
}

function mute(on) {
  for (const track of media?.getAudioTracks() ?? []) track.enabled = !on;
  byId('mute').setAttribute('aria-pressed', String(on));
  byId('mute').textContent = on ? 'Muted' : 'Mute';
}

async function fillDevices() {
  const { cameras, microphones } = await list();
  fill('camera', cameras, []);
  fill('microphone', microphones, [{ id: 'none', name: picture === 'screen' ? 'None, but the screen’s own sound' : 'None' }]);
}

/** The options of a select: the usual device, those there are, `more`. The choice stays if it is still there. */
function fill(id, found, more) {
  const select = byId(id);
  const chosen = select.value;
  const options = [{ id: '', name: 'The usual one' }, ...found, ...more].map((device) => new Option(device.name, device.id));
  select.replaceChildren(...options);
  select.value = options.some((option) => option.value === chosen) ? chosen : '';
}

/** Sends until told otherwise; comes back when the connection is lost. */
async function goLive() {
  const mine = (turn += 1);
  byId('key').removeAttribute('aria-invalid');
  fail('');
  live(true);
  for (const pause of PAUSES_MS) {
    await new Promise((resume) => setTimeout(resume, pause));
    if (mine !== turn) return;
    announce(pause ? 'Reconnecting…' : 'Connecting…');
    sender?.stop();
    sender = new WhipSender(media, { codec: value('codec'), bitrate: BITRATES[value('quality')] });
    try {
      await sender.start(`/whip/${stream}`, value('key').trim(), () => mine === turn && goLive());
      if (mine !== turn) return;
      since ||= performance.now();
      announce('Live');
      return;
    } catch (error) {
      if (mine !== turn) return;
      // At the first attempt the reason is for the user; later ones have the time that the server gives a stream.
      if (!since || (error instanceof Refusal && [401, 403].includes(error.status))) return giveUp(error);
    }
  }
  giveUp(new Error('The connection was lost and did not come back.'));
}

function giveUp(error) {
  stopSending('Off air');
  fail(words(error));
  if (error instanceof Refusal && [401, 403].includes(error.status)) {
    byId('key').setAttribute('aria-invalid', 'true');
    byId('key').focus();
  }
}

function words(error) {
  if (!(error instanceof Refusal)) return error.name === 'TimeoutError' || error instanceof TypeError ? 'The server does not answer.' : error.message;
  switch (error.status) {
    case 401:
    case 403: return `The server does not let you publish here: ${error.message}.`;
    case 404:
    case 405: return 'This server takes no WebRTC: it may be switched off in its configuration.';
    case 409: return `${stream} is being published by somebody else: ${error.message}.`;
    default: return `The server refuses: ${error.message}.`;
  }
}

/** Ends what is sent; the preview stays. */
function stopSending(state) {
  turn += 1;
  sender?.stop();
  sender = null;
  since = 0;
  live(false);
  announce(state);
  for (const id of ['bitrate', 'rtt', 'size', 'fps', 'codecs', 'lost', 'limit', 'viewers']) byId(id).textContent = '–';
}

/** What can be done while on air and what cannot. */
function live(on) {
  const focused = document.activeElement;
  byId('go').hidden = on;
  byId('stop').hidden = !on;
  byId('onair').hidden = true;
  for (const id of ['codec', 'key']) byId(id).disabled = on;
  if (focused === byId(on ? 'go' : 'stop')) byId(on ? 'stop' : 'go').focus();
}

/** What arrives, once a second. */
async function measure() {
  if (!sender || !since) return;
  const [seen, info] = await Promise.all([sender.figures(), ask(`/api/v1/streams/${stream}`).catch(() => null)]);
  const set = (id, text) => (byId(id).textContent = text || '–');
  set('bitrate', bitrate(seen.bitrate));
  set('rtt', seen.roundTrip === undefined ? '' : `${Math.max(1, Math.round(seen.roundTrip * 1000))} ms`);
  set('size', seen.size);
  set('fps', seen.fps ? `${Math.round(seen.fps)} fps` : '');
  set('codecs', seen.codecs);
  set('lost', String(seen.lost));
  set('limit', { cpu: 'this machine’s speed', bandwidth: 'the network', none: 'nothing' }[seen.limit] ?? seen.limit);
  set('viewers', info && String(info.viewers));
  const elapsed = Math.floor((performance.now() - since) / 1000);
  byId('clock').textContent = `${Math.floor(elapsed / 60)}:${String(elapsed % 60).padStart(2, '0')}`;
  byId('onair').hidden = false;
}

function describe() {
  document.title = `Publish ${stream} · Cruvz`;
  byId('title').textContent = `Publish ${stream}`;
  const url = `${location.origin}/watch/${stream}`;
  const code = element('code', '', url);
  byId('urls').replaceChildren(element('div', '', element('dt', '', 'Watch page'), element('dd', '', code, copyButton(code, 'the address of the watch page'))));
  byId('watch').href = url;
  byId('key').value = new URLSearchParams(location.search).get('key') ?? '';
  const names = { H264: 'H.264', H265: 'H.265' };
  byId('codec').replaceChildren(...(supported() ? videoCodecs() : []).map((codec) => new Option(names[codec] ?? codec, codec)));
  document.querySelector('[data-picture="screen"]').hidden = !screens();
}

for (const button of document.querySelectorAll('[data-picture]')) button.addEventListener('click', () => record(button.dataset.picture));
for (const id of ['camera', 'microphone', 'quality']) byId(id).addEventListener('change', () => picture && record(picture));
byId('settings').addEventListener('submit', (event) => {
  event.preventDefault();
  if (media && !sender) goLive();
});
byId('stop').addEventListener('click', () => stopSending('Off air'));
byId('mute').addEventListener('click', () => mute(byId('mute').getAttribute('aria-pressed') !== 'true'));
addEventListener('beforeunload', (event) => sender && event.preventDefault());
addEventListener('pagehide', () => sender && stopSending('Off air'));
navigator.mediaDevices?.addEventListener('devicechange', fillDevices);

describe();
if (!supported()) {
  fail('This browser has no WebRTC: it cannot go live from here.');
} else if (!allowed()) {
  fail('Browsers give camera, microphone and screen only to pages that come over HTTPS, or from this very machine: open this page by https://, or as http://localhost on the server.');
}
if (!supported() || !allowed()) {
  for (const button of document.querySelectorAll('[data-picture]')) button.disabled = true;
} else {
  fillDevices();
}
repeat(1, measure);
