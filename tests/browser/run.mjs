// Runs the tests named on the command line, or all of them, one after the other, and closes with `N passed, N failed`.
import { llhls } from './llhls.mjs';
import { pages } from './pages.mjs';
import { playlists } from './playlists.mjs';
import { vod } from './vod.mjs';
import { webrtc } from './webrtc.mjs';

const SUITES = { llhls, playlists, vod, pages, webrtc };

let passed = 0;
let failed = 0;
for (const suite of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(SUITES)) {
  for (const { name, run } of SUITES[suite]) {
    try {
      console.log(`ok      ${name}: ${await run()}`);
      passed += 1;
    } catch (error) {
      console.log(`FAILED  ${name}: ${error.stack ?? error}`);
      failed += 1;
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
