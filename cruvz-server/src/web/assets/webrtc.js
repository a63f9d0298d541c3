// A WebRTC session with this server: an offer by POST, its answer, and the end by DELETE (WHIP, RFC 9725; WHEP does the same).

/** How long the server may take to answer, in milliseconds. */
const ANSWER_MS = 4000;

/** Whether this browser has WebRTC: some are built without. */
export const supported = () => 'RTCPeerConnection' in window;

/** The server's no: the status and the words of its answer. */
export class Refusal extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/**
 * Offers `connection` to the endpoint `url`, and returns the function that ends the session.
 *
 * The offer has no candidates. The server has an address that we can reach, or names relays, and learns ours from the checks
 * that arrive there: so nobody waits for them to be gathered.
 */
export async function open(connection, url, key = '') {
  const authorization = key ? { authorization: `Bearer ${key}` } : {};
  const offer = await connection.createOffer();
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...authorization, 'content-type': 'application/sdp' },
    body: offer.sdp,
    cache: 'no-store',
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  const location = response.headers.get('location');
  const remove = () => fetch(new URL(location, response.url), { method: 'DELETE', headers: authorization, keepalive: true })
    .catch(() => { /* the server notices by itself */ });
  if (response.status !== 201) {
    // The server's own offer (406) is of what this browser does not decode.
    if (location) remove();
    throw new Refusal(response.status, await words(response));
  }
  const end = () => {
    connection.close();
    remove();
  };
  try {
    const iceServers = relays(response.headers.get('link') ?? '');
    if (iceServers.length) connection.setConfiguration({ ...connection.getConfiguration(), iceServers });
    const sdp = await response.text();
    // Throws when the connection was closed meanwhile.
    await connection.setLocalDescription(offer);
    await connection.setRemoteDescription({ type: 'answer', sdp });
  } catch (error) {
    end();
    throw error;
  }
  return end;
}

/** Why the server refuses: what its problem (RFC 9457) or the information in its own offer says, else the status. */
async function words(response) {
  const text = await response.text();
  const information = /^i=(.+?)\r?$/m.exec(text)?.[1];
  try {
    return JSON.parse(text).detail;
  } catch {
    return information ?? `the server answered ${response.status}`;
  }
}

/** The STUN and TURN servers of `Link` headers (RFC 9725 §4.6). */
export function relays(links) {
  const found = [];
  for (const [, url, rest] of links.matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"[^"]*"|[^",;\s]*))*)/g)) {
    const parameters = Object.fromEntries(
      [...rest.matchAll(/;\s*([\w-]+)\s*=\s*(?:"([^"]*)"|([^",;\s]*))/g)].map(([, name, quoted, plain]) => [name.toLowerCase(), quoted ?? plain]),
    );
    if (parameters.rel !== 'ice-server') continue;
    const { username, credential } = parameters;
    found.push(username === undefined ? { urls: url } : { urls: url, username, credential });
  }
  return found;
}

/** The statistics of `connection`: those of `type`, by kind (`audio`, `video`), and the pair of addresses in use. */
export async function statistics(connection, type) {
  const reports = [...(await connection.getStats()).values()];
  const of = (kind) => reports.find((report) => report.type === type && report.kind === kind);
  const transport = reports.find((report) => report.type === 'transport');
  // Firefox has no report of the transport, but marks the pair.
  const pair = reports.find((report) => report.type === 'candidate-pair'
    && (transport ? report.id === transport.selectedCandidatePairId : report.selected));
  return { reports, audio: of('audio'), video: of('video'), pair };
}
