// The front page: what is live, as cards that renew themselves, and how to go live.
import { ask, bitrate, codecs, copyButton, element, fps, repeat, rtmpUrl, size, viewers } from '/assets/common.js';

const byId = (id) => document.getElementById(id);
const cards = new Map();

/** A colour of its own for each name, the same every time. */
const hue = (name) => [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 250);

function makeCard(stream) {
  const tag = element('span', 'tag');
  const count = element('span', 'count');
  const size = element('span', 'size');
  const poster = element('div', 'poster', playSign(), tag, size, count);
  poster.style.setProperty('--hue', hue(stream.name));
  const detail = element('p', '');
  const link = element('a', 'card', poster, element('div', 'about', element('h2', '', stream.name), detail));
  link.href = `/watch/${stream.name}`;
  const item = element('li', '', link);
  return { item, tag, count, size, detail };
}

function playSign() {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', 'M7 4.5v15a1 1 0 0 0 1.5.86l12-7.5a1 1 0 0 0 0-1.72l-12-7.5A1 1 0 0 0 7 4.5z');
  path.setAttribute('fill', 'currentColor');
  svg.append(path);
  return svg;
}

function renew(card, stream) {
  const live = stream.state === 'live';
  card.tag.textContent = live ? 'LIVE' : 'RECONNECTING';
  card.tag.classList.toggle('waiting', !live);
  card.count.textContent = viewers(stream.viewers);
  card.size.textContent = [size(stream), fps(stream)].filter(Boolean).join(' · ');
  card.size.hidden = !card.size.textContent;
  card.detail.textContent = [codecs(stream), bitrate(stream.latest.bytes * 8)].filter(Boolean).join(' · ');
}

function show(streams) {
  const names = new Set(streams.map((stream) => stream.name));
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.item.remove();
      cards.delete(name);
    }
  }
  for (const stream of streams) {
    if (!cards.has(stream.name)) cards.set(stream.name, makeCard(stream));
    const card = cards.get(stream.name);
    renew(card, stream);
    byId('streams').append(card.item);
  }
}

/** Asks what is live. While the streams stay the same, their cards are only renewed, so that focus stays. */
async function refresh() {
  try {
    const page = await ask('/api/v1/streams?limit=200');
    // The layers of a simulcast have no cards of their own.
    const streams = page.items.filter((stream) => !stream.rendition_of);
    const same = streams.length === cards.size && streams.every((stream) => cards.has(stream.name));
    if (same) streams.forEach((stream) => renew(cards.get(stream.name), stream));
    else show(streams);
    const watching = page.items.reduce((sum, stream) => sum + stream.viewers, 0);
    const count = `${streams.length}${page.next ? '+' : ''} ${streams.length === 1 ? 'stream' : 'streams'}`;
    setText(byId('summary'), streams.length ? `${count}, ${viewers(watching)}` : '');
    byId('empty').hidden = streams.length > 0;
    byId('failure').hidden = true;
  } catch {
    byId('failure').textContent = 'The server does not answer. Trying again…';
    byId('failure').hidden = false;
  }
}

/** Only a change is announced to screen readers. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

async function describeServer() {
  const server = await ask('/api/v1/server').catch(() => null);
  if (server) byId('version').textContent = `Cruvz ${server.version}`;
  byId('browser').hidden = !server?.webrtc_port;
  const ingest = rtmpUrl(server, 'live') ?? 'RTMP is switched off';
  const texts = {
    'obs-server': ingest,
    'obs-key': 'cam',
    ffmpeg: 'ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 '
      + `-c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -g 60 -c:a aac -f flv ${ingest}/cam`,
  };
  for (const code of document.querySelectorAll('[data-copy]')) {
    code.textContent = texts[code.dataset.copy];
    code.after(copyButton(code, code.closest('div').querySelector('dt').textContent));
  }
}

describeServer();
repeat(2, refresh);
