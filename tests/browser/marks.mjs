// A publisher whose pictures bear their number, and who knows when each left the encoder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const [WIDTH, HEIGHT, RATE] = [640, 360, 30];
/** The marks that rtc-page.js reads: 24 bits, white or black, and below them their opposites. */
const [BITS, CELL, LEFT, TOP] = [24, 24, 32, 100];

/** A grey picture, a little different each time, with `number` in it. */
function picture(number) {
  const luma = Buffer.alloc(WIDTH * HEIGHT);
  for (let row = 0; row < HEIGHT; row += 1) luma.fill(64 + ((row + number) % 128), row * WIDTH, (row + 1) * WIDTH);
  for (let row = 0; row < 2 * CELL; row += 1) {
    for (let bit = 0; bit < BITS; bit += 1) {
      const one = ((number >> bit) & 1) ^ (row < CELL ? 0 : 1);
      const at = (TOP + row) * WIDTH + LEFT + bit * CELL;
      luma.fill(one ? 235 : 16, at, at + CELL);
    }
  }
  return luma;
}

/** Tells `onPicture` the presentation time in ms of each video tag in the FLV that passes through. */
function tags(onPicture) {
  let rest = Buffer.alloc(0);
  let header = 13;
  return (piece) => {
    rest = Buffer.concat([rest, piece]);
    for (;;) {
      if (header) {
        if (rest.length < header) return;
        rest = rest.subarray(header);
        header = 0;
      }
      if (rest.length < 11) return;
      const length = 11 + rest.readUIntBE(1, 3) + 4;
      if (rest.length < length) return;
      const isPicture = rest[0] === 9 && rest[12] === 1;
      if (isPicture) onPicture(rest.readUIntBE(4, 3) + (rest[7] << 24) + rest.readIntBE(13, 3));
      rest = rest.subarray(length);
    }
  };
}

/**
 * Publishes numbered pictures, encoded with `video`, to `url` while `use` runs, which is given a list: when (in ms since 1970) the picture of
 * each number left the encoder. A second ffmpeg hands on what the first encodes, and costs what a publisher's network code would.
 */
export async function withMarks(url, video, use) {
  const raw = ['-f', 'rawvideo', '-pix_fmt', 'gray', '-s', `${WIDTH}x${HEIGHT}`, '-r', `${RATE}`, '-i', '-'];
  const out = ['-flush_packets', '1', '-f', 'flv'];
  const encoder = spawn('ffmpeg', ['-v', 'error', '-probesize', '32', ...raw, ...video, '-pix_fmt', 'yuv420p', ...out, '-'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const sender = spawn('ffmpeg', ['-v', 'error', '-probesize', '32', '-analyzeduration', '0', '-f', 'flv', '-i', '-', '-c', 'copy', ...out, url], { stdio: ['pipe', 'ignore', 'ignore'] });
  const encoded = [];
  let first = null;
  const note = tags((pts) => {
    // The first in the file is the first that is shown.
    first ??= pts;
    encoded[Math.round(((pts - first) * RATE) / 1000)] = Date.now();
  });
  encoder.stdout.on('data', (piece) => {
    note(piece);
    sender.stdin.write(piece);
  });
  for (const pipe of [encoder.stdin, sender.stdin]) pipe.on('error', () => {});
  const began = Date.now();
  let number = 0;
  const clock = setInterval(() => {
    while (Date.now() - began >= (number * 1000) / RATE) {
      encoder.stdin.write(picture(number));
      number += 1;
    }
  }, 4);
  try {
    return await use(encoded);
  } finally {
    clearInterval(clock);
    for (const child of [encoder, sender]) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
  }
}
