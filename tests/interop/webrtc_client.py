"""aiortc as a WHIP publisher or a WHEP player, a program of its own: an implementation of WebRTC that shares nothing with browsers.

usage: webrtc_client.py publish URL FILE CODEC | play URL
It publishes the file over and over, or plays, until its standard input ends, and prints what it saw as one JSON object.
"""

import asyncio
import json
import sys
import time
import urllib.request
from array import array
from urllib.parse import urljoin

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer


async def exchange(connection, url):
    """Offers the connection to an endpoint. Returns the URL of the session."""
    await connection.setLocalDescription(await connection.createOffer())
    request = urllib.request.Request(
        url, connection.localDescription.sdp.encode(), {"Content-Type": "application/sdp"}, method="POST"
    )
    with await asyncio.to_thread(urllib.request.urlopen, request, timeout=10) as answer:
        assert answer.status == 201, f"the answer is {answer.status}"
        sdp, session = answer.read().decode(), urljoin(url, answer.headers["Location"])
    await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    return session


def delete(session):
    with urllib.request.urlopen(urllib.request.Request(session, method="DELETE"), timeout=10) as answer:
        return answer.status


class Watched:
    """Counts the frames of a track as they are decoded."""

    def __init__(self, track):
        self.track, self.count, self.first_s, self.loudest, self.back = track, 0, None, 0, 0

    async def run(self, began):
        last = None
        while True:
            try:
                frame = await self.track.recv()
            except Exception:  # the track has ended
                return
            self.first_s = self.first_s or time.monotonic() - began
            self.count += 1
            self.back += last is not None and frame.pts <= last
            last = frame.pts
            if self.track.kind == "audio":
                self.loudest = max(self.loudest, *array("h", bytes(frame.planes[0])))


async def stdin_ends():
    await asyncio.to_thread(sys.stdin.read)


async def publish(url, path, codec):
    connection, source = RTCPeerConnection(), MediaPlayer(path, loop=True)
    for track in (source.video, source.audio):
        sender = connection.addTrack(track)
        if track.kind == "video":
            transceiver = next(one for one in connection.getTransceivers() if one.sender is sender)
            codecs = RTCRtpSender.getCapabilities("video").codecs
            transceiver.setCodecPreferences([one for one in codecs if one.mimeType.lower() == f"video/{codec.lower()}"])
            transceiver.direction = "sendonly"
    session = await exchange(connection, url)
    print("publishing", flush=True)
    await stdin_ends()
    status = await asyncio.to_thread(delete, session)
    stats = [vars(report) for report in (await connection.getStats()).values() if report.type == "outbound-rtp"]
    print(json.dumps({"delete": status, "sent": {one["kind"]: one["packetsSent"] for one in stats}}), flush=True)
    await connection.close()


async def play(url):
    connection, watched, began = RTCPeerConnection(), {}, time.monotonic()

    @connection.on("track")
    def on_track(track: MediaStreamTrack):
        watched[track.kind] = Watched(track)
        asyncio.ensure_future(watched[track.kind].run(began))

    for kind in ("video", "audio"):
        connection.addTransceiver(kind, direction="recvonly")
    session = await exchange(connection, url)
    print("playing", flush=True)
    await stdin_ends()
    status = await asyncio.to_thread(delete, session)
    seen = {kind: {"frames": one.count, "first_s": one.first_s, "loudest": one.loudest, "back": one.back} for kind, one in watched.items()}
    print(json.dumps({"delete": status, "seen": seen}), flush=True)
    await connection.close()


if __name__ == "__main__":
    does, *parameters = sys.argv[1:]
    asyncio.run({"publish": publish, "play": play}[does](*parameters))
