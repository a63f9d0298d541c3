// A stream by WHEP: WebRTC, the least behind live.
import { Refusal, open, statistics } from '/assets/webrtc.js';

/** How long it may take until picture or sound comes, in milliseconds. */
const START_MS = 6000;
/** A connection over which nothing comes for so long, in milliseconds, has failed, unless its publisher is away. */
const SILENCE_MS = 4000;
const LOOK_MS = 500;
/** How long the picture is held for repeats after the last that was needed, in milliseconds. */
const LOSSY_MS = 20_000;
/** What a repeat takes beside the round trip, and what is held at most, in milliseconds. */
const REPEAT_MS = 40;
const MAX_HOLD_MS = 1000;
/** From 1900, where NTP and Chromium count from, to 1970, from where Firefox does, in milliseconds. */
const NTP_TO_UNIX_MS = 2_208_988_800_000;

export class WhepPlayer {
  protocol = 'WebRTC';
  /** The kinds of track (`audio`, `video`) that the server sends us. */
  kinds = [];
  #connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  #end = null;
  #looking = 0;
  #deadline = 0;
  #seen = { packets: 0, at: 0, decoded: 0, dropped: 0 };
  #loss = { asked: 0, at: -Infinity, holdMs: null };
  #stopped = false;

  /**
   * Plays the endpoint `url` in `video` if all the `required` kinds of track come. `failed` gets
   * `{ kind: 'denied' | 'refused' | 'missing' | 'unreachable' | 'lost', words }` when it cannot go on.
   */
  constructor(video, url, required, failed) {
    this.video = video;
    this.failed = (kind, words) => this.#stopped || failed({ kind, words });
    this.#deadline = setTimeout(() => this.#late(), START_MS);
    this.#start(url, required);
  }

  async #start(url, required) {
    const stream = new MediaStream();
    const transceivers = ['video', 'audio'].map((kind) => this.#connection.addTransceiver(kind, { direction: 'recvonly' }));
    this.#connection.addEventListener('track', ({ track }) => stream.addTrack(track));
    try {
      const end = await open(this.#connection, url);
      if (this.#stopped) return end();
      this.#end = end;
    } catch (error) {
      if (!(error instanceof Refusal)) return this.failed('refused', 'the server does not answer');
      return this.failed([401, 403].includes(error.status) ? 'denied' : 'refused', error.message);
    }
    const receiving = transceivers.filter(({ currentDirection }) => currentDirection === 'recvonly');
    this.kinds = receiving.map(({ receiver }) => receiver.track.kind);
    const missing = required.filter((kind) => !this.kinds.includes(kind));
    if (missing.length) return this.failed('missing', missing);
    this.video.srcObject = stream;
    this.#connection.addEventListener('connectionstatechange', () => {
      if (this.#connection.connectionState === 'failed') this.failed('lost', 'the connection was lost');
    });
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  #late() {
    const reached = this.#connection.connectionState === 'connected';
    this.failed('unreachable', reached ? 'no picture came in time' : 'the server’s WebRTC port cannot be reached from here');
  }

  /** Whether something came lately, and what the statistics say. */
  async #look() {
    const { audio, video, pair } = await statistics(this.#connection, 'inbound-rtp');
    const seen = this.#seen;
    this.#hold(video, pair);
    const packets = (audio?.packetsReceived ?? 0) + (video?.packetsReceived ?? 0);
    if (packets > seen.packets) Object.assign(seen, { packets, at: performance.now() });
    if (this.video.readyState > 2) clearTimeout(this.#deadline);
    Object.assign(seen, { decoded: video?.framesDecoded ?? 0, dropped: video?.framesDropped ?? 0 });
    // By sender reports, whose clock is the server's.
    const clock = video?.estimatedPlayoutTimestamp ?? audio?.estimatedPlayoutTimestamp;
    seen.date = clock > 1.5 * NTP_TO_UNIX_MS ? clock - NTP_TO_UNIX_MS : clock;
    const { jitterBufferDelay, jitterBufferEmittedCount } = video ?? audio ?? {};
    if (jitterBufferEmittedCount) seen.buffer = jitterBufferDelay / jitterBufferEmittedCount;
  }

  /**
   * What was lost comes again a round trip later. A browser that only receives does not know how long that is: it would show nothing
   * meanwhile. So while packets are asked for again, picture and sound are held for as long.
   */
  #hold(video, pair) {
    const loss = this.#loss;
    const asked = video?.nackCount ?? 0;
    if (asked > loss.asked) Object.assign(loss, { asked, at: performance.now() });
    if (performance.now() - loss.at > LOSSY_MS) loss.holdMs = null;
    else if (pair?.currentRoundTripTime) loss.holdMs = Math.max(loss.holdMs, Math.min(MAX_HOLD_MS, 1200 * pair.currentRoundTripTime + REPEAT_MS));
    for (const receiver of this.#connection.getReceivers()) {
      if ('jitterBufferTarget' in receiver && receiver.jitterBufferTarget !== loss.holdMs) receiver.jitterBufferTarget = loss.holdMs;
    }
  }

  /** The same as of the other player. `waiting`: the publisher is away, and silence is no failure. */
  measure(waiting) {
    const { at, buffer, date, decoded, dropped } = this.#seen;
    const silent = at > 0 && performance.now() - at > SILENCE_MS;
    if (silent && !waiting) this.failed('lost', 'nothing came any more');
    const playing = this.video.readyState > 2 && !silent;
    return { playing, edge: playing && !this.video.paused, dropped, total: decoded + dropped, buffer, date, latency: buffer };
  }

  goLive() { /* It always is. */ }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#deadline);
    clearInterval(this.#looking);
    this.video.srcObject = null;
    if (this.#end) this.#end();
    else this.#connection.close();
  }
}
