// What both pages need: asking the API, showing figures, copying, the theme.
// Text from the server goes into the document as text only.

/** The JSON at `path`, `null` where the server says 404; anything else that fails throws. */
export async function ask(path) {
  const response = await fetch(path, { headers: { accept: 'application/json' }, cache: 'no-store', signal: AbortSignal.timeout(8000) });
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

/** An element with a class and children (text or elements). */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Bits per second as people read them. */
export function bitrate(bps) {
  if (!(bps > 0)) return '–';
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}

const track = (stream, kind) => stream.tracks.find((candidate) => candidate.kind === kind);

/** Width and height of a stream, `Audio only`, or nothing yet. */
export function size(stream) {
  const video = track(stream, 'video');
  if (!video) return track(stream, 'audio') ? 'Audio only' : '';
  return video.width ? `${video.width} × ${video.height}` : '';
}

/** Frames per second: those that came in the last second, before that what the headers say. */
export function fps(stream) {
  const rate = stream.latest.video_frames || Math.round(track(stream, 'video')?.fps || 0);
  return rate ? `${rate} fps` : '';
}

/** The codecs of a stream. */
export const codecs = (stream) => stream.tracks.filter((track) => track.kind !== 'data').map((track) => track.codec).join(' · ');

export const viewers = (count) => `${count} ${count === 1 ? 'viewer' : 'viewers'}`;

/** `rtmp://host[:port]/app`, or null where the server takes no RTMP. */
export function rtmpUrl(server, app) {
  const host = location.hostname;
  if (server?.rtmp_port) return `rtmp://${host}${server.rtmp_port === 1935 ? '' : `:${server.rtmp_port}`}/${app}`;
  if (server?.rtmps_port) return `rtmps://${host}${server.rtmps_port === 443 ? '' : `:${server.rtmps_port}`}/${app}`;
  return null;
}

/** A button that copies the text of `code`. */
export function copyButton(code, name) {
  const button = element('button', 'copy', 'Copy');
  button.type = 'button';
  button.setAttribute('aria-label', `Copy ${name}`);
  button.addEventListener('click', async () => {
    button.textContent = (await copy(code)) ? 'Copied' : 'Press Ctrl+C';
    setTimeout(() => (button.textContent = 'Copy'), 1500);
  });
  return button;
}

/** Copies; where the browser refuses (pages without TLS), selects, so that Ctrl+C does. */
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand('copy');
  }
}

/** Calls `step` now and `seconds` after it has finished, while the page is seen. */
export async function repeat(seconds, step) {
  for (;;) {
    await step();
    await new Promise((resume) => setTimeout(resume, seconds * 1000));
    while (document.hidden) await new Promise((resume) => document.addEventListener('visibilitychange', resume, { once: true }));
  }
}

const root = document.documentElement;
const stored = () => { try { return localStorage.getItem('theme'); } catch { return null; } };
if (stored()) root.dataset.theme = stored();
document.getElementById('theme')?.addEventListener('click', () => {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  try { localStorage.setItem('theme', root.dataset.theme); } catch { /* then it lasts as long as the page */ }
});
