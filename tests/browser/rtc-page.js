// Runs in the page: a plain WHIP and WHEP client as anybody would write it, and what it sees. Not the code of our own pages.
const connections = {};

/** Offers `connection` to `url`; with `port`, the server is reached over UDP at that port only. Returns the session's URL. */
async function exchange(connection, url, { key, port }) {
  await connection.setLocalDescription();
  if (connection.iceGatheringState !== 'complete') {
    await new Promise((resolve) => {
      connection.addEventListener('icegatheringstatechange', () => connection.iceGatheringState === 'complete' && resolve());
      setTimeout(resolve, 2000);
    });
  }
  const headers = { 'content-type': 'application/sdp', ...(key && { authorization: `Bearer ${key}` }) };
  const response = await fetch(url, { method: 'POST', headers, body: connection.localDescription.sdp });
  const text = await response.text();
  if (response.status !== 201) throw new Error(`${url}: ${response.status} ${text}`);
  const candidates = (line) => !line.startsWith('a=candidate:') || / udp /i.test(line);
  const moved = (line) => line.replace(/^(a=candidate:\S+ 1 udp \d+ \S+) \d+/i, `$1 ${port}`);
  const sdp = port ? text.split('\r\n').filter(candidates).map(moved).join('\r\n') : text;
  await connection.setRemoteDescription({ type: 'answer', sdp });
  return new URL(response.headers.get('location'), url).href;
}

/** A picture that says when it was drawn: 24 bits of milliseconds, white or black, and below them their opposites. */
const BITS = 24;
const CELL = 24;

function markedStream() {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [BITS * CELL + 64, 360];
  const pen = canvas.getContext('2d');
  let last = 0;
  const draw = (at) => {
    requestAnimationFrame(draw);
    if (at - last < 30) return;
    last = at;
    pen.fillStyle = `hsl(${(at / 20) % 360} 60% 50%)`;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    const stamp = Math.round(performance.now());
    for (let bit = 0; bit < BITS; bit += 1) {
      const one = (stamp >> bit) & 1;
      for (const row of [0, 1]) {
        pen.fillStyle = one ^ row ? '#fff' : '#000';
        pen.fillRect(32 + bit * CELL, 100 + row * CELL, CELL, CELL);
      }
    }
  };
  requestAnimationFrame(draw);
  return canvas.captureStream(30);
}

function readMark(pen, video) {
  pen.drawImage(video, 0, 100, BITS * CELL + 64, 2 * CELL, 0, 0, BITS * CELL + 64, 2 * CELL);
  const { data, width } = pen.getImageData(0, 0, BITS * CELL + 64, 2 * CELL);
  let stamp = 0;
  for (let bit = 0; bit < BITS; bit += 1) {
    const luma = (row) => data[4 * ((row * CELL + CELL / 2) * width + 32 + bit * CELL + CELL / 2) + 1];
    if (Math.abs(luma(0) - luma(1)) < 80) return null;
    if (luma(0) > luma(1)) stamp |= 1 << bit;
  }
  return stamp;
}

/** Publishes the fake camera and microphone, or marked pictures and the microphone. */
window.publish = async (url, { codec, source = 'camera', width = 640, height = 360, layers, key, port } = {}) => {
  const media = await navigator.mediaDevices.getUserMedia({
    audio: true,
    video: source === 'camera' && { width, height, frameRate: 30 },
  });
  if (source === 'marks') media.addTrack(markedStream().getVideoTracks()[0]);
  const connection = new RTCPeerConnection();
  for (const track of media.getTracks()) {
    const sendEncodings = (track.kind === 'video' && layers) || undefined;
    const transceiver = connection.addTransceiver(track, { direction: 'sendonly', streams: [media], sendEncodings });
    if (track.kind === 'video' && codec && transceiver.setCodecPreferences) {
      const { codecs } = RTCRtpSender.getCapabilities('video');
      const wanted = codecs.filter(({ mimeType }) => [`video/${codec}`, 'video/rtx'].includes(mimeType.replace('VIDEO', 'video')));
      transceiver.setCodecPreferences(wanted);
    }
  }
  connections.publish = connection;
  return exchange(connection, url, { key, port });
};

/** Keeps in `window.seen` what `video` shows: the time of each picture, and its mark. */
function keep(video, marks) {
  const began = performance.now();
  const seen = { media: [], shown: [], delays: [], marks: [], unread: 0, firstPicture: null, answered: null };
  window.seen = seen;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [BITS * CELL + 64, 2 * CELL];
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const look = (at, { mediaTime, rtpTimestamp }) => {
    video.requestVideoFrameCallback(look);
    seen.firstPicture ??= performance.now() - began;
    // The time that the sender gave it, where the browser tells.
    seen.media.push(rtpTimestamp ?? mediaTime);
    seen.shown.push(at);
    if (!marks) return;
    const stamp = readMark(pen, video);
    if (stamp === null) seen.unread += 1;
    else {
      seen.delays.push([at, performance.now() - stamp]);
      seen.marks.push([Date.now(), stamp]);
    }
  };
  video.requestVideoFrameCallback(look);
  return seen;
}

/** Plays into the page's video element; the session's URL. */
window.play = async (url, { marks = false, key, port } = {}) => {
  const began = performance.now();
  const video = document.querySelector('video');
  const media = new MediaStream();
  const connection = new RTCPeerConnection();
  connection.addTransceiver('video', { direction: 'recvonly' });
  connection.addTransceiver('audio', { direction: 'recvonly' });
  connection.addEventListener('track', ({ track }) => media.addTrack(track));
  const seen = keep(video, marks);
  connections.play = connection;
  video.srcObject = media;
  const session = await exchange(connection, url, { key, port });
  seen.answered = performance.now() - began;
  await video.play();
  return session;
};

/** Finds the first loud sample behind silence, 128 at a time; tells when it was, in seconds of the context. */
const LISTENER = `registerProcessor('listener', class extends AudioWorkletProcessor {
  process([[samples]]) {
    this.quiet ??= 0;
    const at = samples ? samples.findIndex((sample) => Math.abs(sample) > 0.05) : -1;
    if (at >= 0) {
      if (this.quiet > sampleRate / 4) this.port.postMessage(currentTime + at / sampleRate);
      this.quiet = 0;
    } else this.quiet += 128;
    return true;
  }
});`;

/** Notes when flashes are shown and beeps are heard of what plays, in ms of `performance.now()`, for `forMs`. */
window.flashesAndBeeps = async (forMs) => {
  const video = document.querySelector('video');
  const [flashes, beeps, playouts] = [[], [], []];
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [8, 8];
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  let dark = 0;
  const look = (at, { expectedDisplayTime }) => {
    video.requestVideoFrameCallback(look);
    pen.drawImage(video, 0, 0, 8, 8);
    const bright = pen.getImageData(4, 4, 1, 1).data[1] > 128;
    if (bright && dark > 5) flashes.push(expectedDisplayTime);
    dark = bright ? 0 : dark + 1;
  };
  video.requestVideoFrameCallback(look);
  const context = new AudioContext({ latencyHint: 'interactive' });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([LISTENER], { type: 'text/javascript' })));
  const listener = new AudioWorkletNode(context, 'listener', { numberOfOutputs: 1 });
  listener.port.onmessage = ({ data }) => {
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    beeps.push(performanceTime + 1000 * (data - contextTime));
  };
  context.createMediaStreamSource(new MediaStream(video.srcObject.getAudioTracks())).connect(listener).connect(context.destination);
  await context.resume();
  for (const end = performance.now() + forMs; performance.now() < end; await new Promise((resume) => setTimeout(resume, 500))) {
    const reports = [...(await connections.play.getStats()).values()].filter(({ type }) => type === 'inbound-rtp');
    const of = (kind) => reports.find((report) => report.kind === kind)?.estimatedPlayoutTimestamp;
    if (of('audio') && of('video')) playouts.push(of('video') - of('audio'));
  }
  const latencies = { base: 1000 * context.baseLatency, output: 1000 * context.outputLatency };
  await context.close();
  return { flashes, beeps, playouts, latencies };
};

/**
 * Plays by the server's own offer: what it gives to a player that says it knows only `codec`, or that offers nothing. The first SDP
 * and the session's URL.
 */
window.playByTheirOffer = async (url, { codec } = {}) => {
  let sdp = '';
  if (codec) {
    const first = new RTCPeerConnection();
    const { codecs } = RTCRtpReceiver.getCapabilities('video');
    first.addTransceiver('video', { direction: 'recvonly' }).setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === `video/${codec}`));
    await first.setLocalDescription();
    ({ sdp } = first.localDescription);
    first.close();
  }
  const headers = { 'content-type': 'application/sdp' };
  const response = await fetch(url, { method: 'POST', headers, body: sdp });
  const offer = await response.text();
  if (response.status !== 406) throw new Error(`${url}: ${response.status} ${offer}`);
  const session = new URL(response.headers.get('location'), url).href;
  const [video, media, connection] = [document.querySelector('video'), new MediaStream(), new RTCPeerConnection()];
  connection.addEventListener('track', ({ track }) => media.addTrack(track));
  connections.play = connection;
  keep(video, false);
  video.srcObject = media;
  await connection.setRemoteDescription({ type: 'offer', sdp: offer });
  await connection.setLocalDescription();
  const answered = await fetch(session, { method: 'PATCH', headers, body: connection.localDescription.sdp });
  if (answered.status !== 204) throw new Error(`${session}: ${answered.status} ${await answered.text()}`);
  await video.play();
  return { session, offer };
};

/** The same by the package whip-whep: it trickles candidates, can restart ICE and is told to stop. */
const clients = {};
window.publishByPackage = async (url) => {
  const { WHIPClient } = await import('/whip.js');
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360, frameRate: 30 } });
  connections.publish = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  for (const track of media.getTracks()) connections.publish.addTransceiver(track, { direction: 'sendonly', streams: [media] });
  clients.publish = new WHIPClient();
  await clients.publish.publish(connections.publish, url);
};
window.playByPackage = async (url) => {
  const { WHEPClient } = await import('/whep.js');
  const [video, media] = [document.querySelector('video'), new MediaStream()];
  connections.play = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  for (const kind of ['audio', 'video']) connections.play.addTransceiver(kind, { direction: 'recvonly' });
  connections.play.addEventListener('track', ({ track }) => media.addTrack(track));
  keep(video, false);
  video.srcObject = media;
  clients.play = new WHEPClient();
  await clients.play.view(connections.play, url);
  await video.play();
};
/** Restarts ICE; resolves with the two user fragments of the server once the second is in use. */
window.restartByPackage = async (role) => {
  const fragment = () => /a=ice-ufrag:(\S+)/.exec(connections[role].remoteDescription.sdp)[1];
  const before = fragment();
  await clients[role].restart();
  for (let tries = 0; tries < 100 && fragment() === before; tries += 1) await new Promise((resume) => setTimeout(resume, 50));
  return [before, fragment()];
};
window.stopByPackage = (role) => clients[role].stop();

/** What the browser's statistics say now of `publish` or `play`. */
window.report = async (role) => {
  const reports = [...(await connections[role].getStats()).values()];
  const type = role === 'play' ? 'inbound-rtp' : 'outbound-rtp';
  const of = (kind) => {
    const report = reports.find((one) => one.type === type && (one.kind ?? one.mediaType) === kind);
    if (!report) return null;
    const codec = reports.find((one) => one.id === report.codecId)?.mimeType;
    const heard = reports.find((one) => one.type === 'remote-inbound-rtp' && one.localId === report.id);
    return { ...report, codec, heard };
  };
  const transport = reports.find((one) => one.type === 'transport');
  return { state: connections[role].connectionState, video: of('video'), audio: of('audio'), transport, seen: role === 'play' ? window.seen : null };
};

window.leave = async (session, role) => {
  connections[role].close();
  return (await fetch(session, { method: 'DELETE' })).status;
};
