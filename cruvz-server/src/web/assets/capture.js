// Camera, microphone and screen, as the browser gives them.

/** Whether this page may ask for them at all: only over HTTPS, or from the machine of the server. */
export const allowed = () => Boolean(navigator.mediaDevices);
/** Phones have no screens to share. */
export const screens = () => 'getDisplayMedia' in (navigator.mediaDevices ?? {});

const FRAME_RATE = { ideal: 30 };

/**
 * A MediaStream of what is asked for: `picture` is `camera`, `screen` or `none`; `camera` and `microphone` are device ids, empty for
 * the usual one, `none` for no microphone; `height` is of the camera's picture. What a machine does not have is left out.
 */
export async function capture({ picture, camera, microphone, height }) {
  const audio = microphone !== 'none' && { deviceId: microphone ? { ideal: microphone } : undefined };
  if (picture === 'screen') return screen(audio);
  const size = { height: { ideal: height }, width: { ideal: Math.round((height * 16) / 9) } };
  const video = picture === 'camera' && { deviceId: camera ? { exact: camera } : undefined, frameRate: FRAME_RATE, ...size };
  const stream = await devices(video, audio);
  hint(stream, 'motion');
  return stream;
}

/** The screen, with the microphone; without one, with the screen's own sound if the browser shares that. */
async function screen(audio) {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: FRAME_RATE }, audio: !audio });
  hint(stream, 'detail');
  const voice = audio && (await devices(false, audio).catch(() => null));
  for (const track of voice?.getAudioTracks() ?? []) stream.addTrack(track);
  return stream;
}

/** Both; where one is not there, the other. */
async function devices(video, audio) {
  const attempts = [{ video, audio }, video && audio && { video, audio: false }, video && audio && { video: false, audio }];
  let failure = null;
  for (const constraints of attempts.filter(Boolean)) {
    try {
      return await navigator.mediaDevices.getUserMedia(constraints);
    } catch (error) {
      failure ??= error;
      if (error.name !== 'NotFoundError') break;
    }
  }
  throw failure;
}

/** Whether smooth motion or sharp detail matters when the network cannot carry both. */
function hint(stream, content) {
  for (const track of stream.getVideoTracks()) track.contentHint = content;
}

/** Cameras and microphones as `{ id, name }`. They have names only once the page was let use one. */
export async function list() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const of = (kind, name) => all
    .filter((device) => device.kind === kind && device.deviceId && device.deviceId !== 'default')
    .map(({ deviceId, label }, at) => ({ id: deviceId, name: label || `${name} ${at + 1}` }));
  return { cameras: of('videoinput', 'Camera'), microphones: of('audioinput', 'Microphone') };
}

/** What went wrong, and what to do. */
export function explain({ name, message }, picture) {
  const what = { camera: 'the camera or the microphone', screen: 'the screen', none: 'the microphone' }[picture];
  switch (name) {
    case 'NotAllowedError': return `The browser does not let this page use ${what}. Allow it, beside the address or in the settings of the system, and try again.`;
    case 'NotFoundError': return `This machine has nothing to record with: ${what} was not found.`;
    case 'NotReadableError': return `The system does not hand out ${what}: another program may be using it.`;
    case 'OverconstrainedError': return 'That device is gone. Choose another one.';
    default: return `The browser cannot record from ${what}: ${message}`;
  }
}
