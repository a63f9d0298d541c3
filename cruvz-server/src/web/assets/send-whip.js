// Sends a MediaStream by WHIP.
import { open, statistics } from '/assets/webrtc.js';

/** How long the connection may take, in milliseconds, once the server has answered. */
const CONNECT_MS = 8000;

/** The video codecs that this browser can send, as in `H264`, best first for those who watch: every output carries H.264. */
export function videoCodecs() {
  const known = ['H264', 'VP8', 'VP9', 'AV1', 'H265'];
  const able = new Set(capabilities().map(({ mimeType }) => mimeType.split('/')[1].toUpperCase()));
  return known.filter((codec) => able.has(codec));
}

const capabilities = () => RTCRtpSender.getCapabilities?.('video')?.codecs ?? [];

export class WhipSender {
  #connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  #senders = {};
  #end = null;
  #stopped = false;
  #before = { bytes: 0, at: 0 };

  /** `options`: `codec` as in `videoCodecs`, `bitrate` of the video, both for the beginning. */
  constructor(stream, { codec, bitrate }) {
    for (const track of stream.getTracks()) {
      const video = track.kind === 'video';
      const transceiver = this.#connection.addTransceiver(track, {
        direction: 'sendonly',
        streams: [stream],
        ...(video && { sendEncodings: [{ maxBitrate: bitrate }] }),
      });
      if (video) prefer(transceiver, codec);
      this.#senders[track.kind] = transceiver.sender;
    }
  }

  /** Connects to the endpoint `url`; throws, in words, if that does not work. `lost` is called if the connection is later. */
  async start(url, key, lost) {
    const connection = this.#connection;
    this.#end = await open(connection, url, key);
    if (this.#stopped) return this.stop();
    let begun = false;
    await new Promise((resolve, reject) => {
      const unreachable = () => reject(new Error('The server answers, but its WebRTC port cannot be reached from here: a firewall may be in the way.'));
      const deadline = setTimeout(unreachable, CONNECT_MS);
      const look = () => {
        const state = connection.connectionState;
        if (state === 'connected') {
          begun = true;
          clearTimeout(deadline);
          resolve();
        } else if (state === 'failed') {
          if (begun) lost();
          else unreachable();
        }
      };
      connection.addEventListener('connectionstatechange', look);
      look();
    }).catch((error) => {
      this.stop();
      throw error;
    });
  }

  /** Sends other tracks from now on; false when they are not of the same kinds, which takes a new session. */
  async replace(stream) {
    const tracks = stream.getTracks();
    if (tracks.map(({ kind }) => kind).sort().join() !== Object.keys(this.#senders).sort().join()) return false;
    await Promise.all(tracks.map((track) => this.#senders[track.kind].replaceTrack(track)));
    return true;
  }

  /** What is sent now: bits per second, seconds of round trip, size, codecs, packets lost, and what limits it. */
  async figures() {
    const { reports, audio, video, pair } = await statistics(this.#connection, 'outbound-rtp');
    const bytes = (audio?.bytesSent ?? 0) + (video?.bytesSent ?? 0);
    const at = (video ?? audio)?.timestamp ?? 0;
    const seconds = (at - this.#before.at) / 1000;
    const bitrate = this.#before.at && seconds > 0 ? ((bytes - this.#before.bytes) * 8) / seconds : 0;
    this.#before = { bytes, at };
    const heard = reports.filter((report) => report.type === 'remote-inbound-rtp');
    const codec = (report) => reports.find(({ id }) => id === report?.codecId)?.mimeType.split('/')[1];
    return {
      bitrate,
      roundTrip: pair?.currentRoundTripTime ?? heard.find((report) => report.roundTripTime)?.roundTripTime,
      size: video?.frameWidth ? `${video.frameWidth} × ${video.frameHeight}` : '',
      fps: video?.framesPerSecond,
      codecs: [codec(video), codec(audio)].filter(Boolean).join(' · '),
      lost: heard.reduce((sum, report) => sum + (report.packetsLost ?? 0), 0),
      limit: video?.qualityLimitationReason,
    };
  }

  stop() {
    this.#stopped = true;
    if (this.#end) this.#end();
    else this.#connection.close();
  }
}

/** Puts `codec` before the others, which stay for a server that does not know it. */
function prefer(transceiver, codec) {
  const rank = ({ mimeType }) => Number(mimeType.toUpperCase() !== `VIDEO/${codec}`);
  const sorted = capabilities().sort((a, b) => rank(a) - rank(b));
  if (sorted.length) transceiver.setCodecPreferences?.(sorted);
}
