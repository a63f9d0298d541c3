// A stream by HLS: hls.js where there is Media Source Extensions, else the browser's own player. As close to live as it goes.

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
/** Errors that come from what the stream is coded as. */
const CODEC_ERRORS = ['manifestIncompatibleCodecsError', 'bufferAddCodecError'];

export class HlsPlayer {
  protocol = 'LL-HLS';
  #hls = null;
  #mended = false;
  /** Whether the viewer wants to be live: until they pause or seek back, and again once they are. */
  #following = true;
  #behindSince = 0;
  #lastTime = 0;
  #listening = new AbortController();

  static supported = (video) => window.Hls?.isSupported() || video.canPlayType('application/vnd.apple.mpegurl') !== '';

  /** Plays `url` in `video`; `failed` gets `{ kind: 'codec' | 'refused' | 'lost' }` when it cannot go on. */
  constructor(video, url, failed) {
    this.video = video;
    this.failed = failed;
    if (window.Hls?.isSupported()) {
      this.#hls = new window.Hls(HLS_CONFIG);
      this.#hls.on(window.Hls.Events.ERROR, (_, error) => error.fatal && this.#mend(error));
      this.#hls.loadSource(url);
      this.#hls.attachMedia(video);
    } else {
      video.src = url;
    }
    const { signal } = this.#listening;
    // A browser may pause a page that nobody sees; that is nobody's wish.
    video.addEventListener('pause', () => (this.#following &&= document.hidden), { signal });
    video.addEventListener('seeking', () => (this.#following &&= video.currentTime > this.#lastTime - 1), { signal });
  }

  stop() {
    this.#listening.abort();
    if (this.#hls) this.#hls.destroy();
    else this.video.removeAttribute('src');
  }

  /** A fatal error: media errors are mended in place once. */
  #mend(error) {
    if (error.type === window.Hls.ErrorTypes.MEDIA_ERROR && !CODEC_ERRORS.includes(error.details) && !this.#mended) {
      this.#mended = true;
      this.#hls.recoverMediaError();
      return;
    }
    const refused = [401, 403].includes(error.response?.code);
    this.failed({ kind: CODEC_ERRORS.includes(error.details) ? 'codec' : refused ? 'refused' : 'lost' });
  }

  /** Looked at several times a second. Whether it plays, at the live edge, and how; latency and buffer in seconds. */
  measure() {
    const { video } = this;
    const playing = video.readyState > 2;
    const edge = playing && !video.paused && (this.#hls?.latency ?? 0) - (this.#hls?.targetLatency ?? 0) < BEHIND;
    this.#keepLive(playing && !edge);
    this.#lastTime = video.currentTime;
    const { droppedVideoFrames = 0, totalVideoFrames = 0 } = video.getVideoPlaybackQuality?.() ?? {};
    const ahead = video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
    return {
      playing,
      edge,
      dropped: droppedVideoFrames,
      total: totalVideoFrames,
      buffer: Math.max(0, ahead),
      // The server's date of what is on screen; else the distance from the playlist's end.
      date: this.#hls?.playingDate?.getTime(),
      latency: this.#hls?.latency,
    };
  }

  /** Brings back a viewer whom the network, and not their own wish, left behind. */
  #keepLive(behind) {
    const { video } = this;
    if (!behind) {
      this.#following ||= !video.paused && video.readyState > 2;
      this.#behindSince = 0;
    } else if (this.#following && !video.paused) {
      this.#behindSince ||= performance.now();
      if (performance.now() - this.#behindSince > PATIENCE_MS) {
        this.#behindSince = 0;
        this.goLive();
      }
    }
  }

  goLive() {
    const { video } = this;
    this.#following = true;
    const edge = this.#hls?.liveSyncPosition;
    if (edge) video.currentTime = edge;
    else if (video.seekable.length) video.currentTime = video.seekable.end(video.seekable.length - 1);
  }
}
