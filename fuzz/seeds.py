"""Makes the corpora that fuzzing starts from, out of the crates' test fixtures and of `captures/` of real programs.

    python3 fuzz/seeds.py OUT    # writes OUT/<target>/<seed>

Each seed has the form that its target reads: see fuzz_targets/. The interop tests replay the RTMP seeds against a real server.
"""

import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parent / "cruvz-media" / "tests" / "fixtures"
SRT_FIXTURES = HERE.parent / "cruvz-core" / "tests" / "fixtures" / "srt"
WEBRTC_FIXTURES = HERE.parent / "cruvz-core" / "tests" / "fixtures" / "webrtc"

# The order of fuzz_targets/codec_config.rs, and the MP4 box that holds each codec's record.
CODEC_BOXES = [b"avcC", b"hvcC", b"av1C", b"vpcC", None, b"esds", b"dOps", b"dfLa", None, b"dac3", b"dec3"]
H264, H265, AAC = 0, 1, 5
# The order of fuzz_targets/rtp_depacketize.rs.
RTP_CODECS = ["h264", "h265", "vp8", "vp9", "av1", "opus"]


def flv_tags(data):
    """(type, body) of each tag of an FLV file."""
    at = 13
    while at + 11 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        yield kind, data[at + 11 : at + 11 + size]
        at += 11 + size + 4


def record(kind, body):
    """One record as cruvz_fuzz::records reads them."""
    return struct.pack(">BH", kind, min(len(body), 0xFFFF)) + body[:0xFFFF]


def mp4_configs(data):
    """(codec number, record) of each codec box that occurs in an MP4 file."""
    for number, name in enumerate(CODEC_BOXES):
        at = data.find(name) if name else -1
        if at < 4:
            continue
        body = data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]
        if name == b"esds":  # DecoderSpecificInfo: tag 5, a length of one or of four bytes
            body = body[body.find(b"\x05") + 1 :].lstrip(b"\x80")
            body = body[1 : 1 + body[0]]
        yield number, body


def rtp_packets(data):
    """The packets of a file that has each behind its length."""
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


def seeds():
    """(target, name, bytes) of every seed."""
    for path in sorted(FIXTURES.glob("flv/*.flv")):
        data = path.read_bytes()
        tags = list(flv_tags(data))
        yield "flv_file", path.stem, b"\0" + data
        yield "flv_file", path.stem + "-cut", b"\x40" + data
        yield "flv_tag", path.stem, b"".join(record(*tag) for tag in tags)
        for number, (kind, body) in enumerate(tags):
            if kind == 18:
                yield "amf0", f"{path.stem}-{number}", body
            elif number < 4:
                yield "flv_tag", f"{path.stem}-{number}", record(kind, body)
        for kind, body in tags:
            if kind == 9 and body[:2] == b"\x17\x00":
                yield "codec_config", path.stem + "-avc", bytes([H264]) + body[5:]
                yield "bitstream", path.stem + "-sps", b"\x02" + body[13:40]
            elif kind == 9 and body[0] & 0x8F in (1, 7):
                yield "bitstream", path.stem + "-frame", b"\x00" + body[5:2000]
            elif kind == 8 and body[:2] == b"\xaf\x00":
                yield "codec_config", path.stem + "-aac", bytes([AAC]) + body[2:]
                yield "bitstream", path.stem + "-asc", b"\x03" + body[2:]
    yield "bitstream", "annex-b", b"\x01\0\0\0\1\x09\xf0\0\0\1\x67\x42\xc0\x1e\xda\0\0\1\x68\xce\x3c\x80\0\0\1\x65\x88"
    yield "bitstream", "adts", b"\x03\xff\xf1\x4c\x80\x0b\xff\xfc"

    for path in sorted(FIXTURES.glob("mp4/*.mp4")):
        data = path.read_bytes()
        yield "mp4_file", path.stem, data
        if (first := data.find(b"moof") - 4) > 0:
            yield "segment", path.stem, record(0, data[:first]) + record(3, data[first : first + 60_000])
            yield "segment", path.stem + "-open", record(0, data[:first]) + record(7, data[first : first + 60_000])
        for number, body in mp4_configs(data):
            yield "codec_config", f"{path.stem}-{number}", bytes([number]) + body

    for path in sorted([*FIXTURES.glob("mpegts/*.ts"), *FIXTURES.glob("mpegts/*.m2ts")]):
        yield "ts_demux", path.stem, b"\0" + path.read_bytes()
        yield "ts_demux", path.stem + "-cut", b"\xff" + path.read_bytes()[: 188 * 12]

    for path in sorted(HERE.glob("captures/*")):
        target = "rtmp_server" if path.suffix == ".client" else "rtmp_client"
        role = b"\1" if "publish" in path.stem and target == "rtmp_client" else b"\0"
        data = path.read_bytes()
        yield target, path.stem, b"\0" + role + data
        yield target, path.stem + "-cut", b"\x1f" + role + data
        yield "rtmp_chunk", f"{path.stem}{path.suffix}", b"\1\0" + data
    for side in range(3):
        yield "rtmp_handshake", f"simple-{side}", bytes([side]) + b"\0\3" + bytes(3072)
        versions = b"\0\0\0\0\x80\0\7\2" + bytes(range(256)) * 12
        yield "rtmp_handshake", f"versions-{side}", bytes([side]) + b"\xff\3" + versions

    for path in sorted(SRT_FIXTURES.glob("*.txt")):
        for number, line in enumerate(path.read_text().splitlines()):
            datagram = bytes.fromhex(line[2:])
            yield "srt_packet", f"{path.stem}-{number}", datagram
            if datagram[:2] == b"\x80\0":
                material = datagram.find(b"\x12\x20\x29")
                if material > 0:
                    yield "srt_handshake", f"{path.stem}-key-{number}", b"\3" + datagram[material:]
                how = 0 if line[0] == "<" else 1 if "aes" in path.stem else 2
                yield "srt_handshake", f"{path.stem}-{number}", bytes([how]) + datagram[16:]
    losses = struct.pack(">HHIIIIII", 0x8003, 0, 0, 7, 9, 5, 0xFFFFFFFE, 2)
    yield "srt_packet", "nak", losses
    yield "srt_packet", "drop", struct.pack(">HHIIIII", 0x8007, 0, 3, 7, 9, 0x7FFFFFFF, 1)
    # A connection: packets with gaps between them, then answers, each 20 ms behind the last.
    said = [struct.pack(">IIII", number, 0xE0000001, 10_000 * number, 1) + b"G" * 188 for number in (0, 1, 5, 3, 700, 701)]
    said += [struct.pack(">HHIIIIIII", 0x8002, 0, 1, 0, 1, next_, 40_000, 5_000, 8_192) for next_ in (0, 4, 9_999)]
    said += [struct.pack(">HHIIIII", 0x8003, 0, 0, 0, 1, 0x80000005, 8), struct.pack(">HHIIII", 0x8006, 0, 1, 0, 1, 0)]
    said += [struct.pack(">HHIIIII", 0x8007, 0, 0, 0, 1, 2, 4), struct.pack(">HHIIII", 0x8005, 0, 0, 0, 1, 0)]
    for flags in (0, 7):
        yield "srt_connection", str(flags), bytes([flags]) + b"".join(struct.pack(">BH", 20, len(one)) + one for one in said)
    # A publisher: VP8 in two layers, Opus, a gap with its repeat, a sender report.
    def rtp(kind, seq, at, ssrc, payload, rid=b""):
        names = struct.pack(">BB", 0x10, 0x30 + (kind == 111)) + (struct.pack(">B", 0x40 + len(rid) - 1) + rid if rid else b"")
        names += bytes(-len(names) % 4)
        return struct.pack(">BBHIIHH", 0x90, 0x80 | kind, seq, at, ssrc, 0xBEDE, len(names) // 4) + names + payload
    key = b"\x10\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 160, 90) + bytes(40)
    said = [(0x45, rtp(96, 9, 3000, 1, key)), (0x45, rtp(111, 3, 960, 9, b"\xfc\0\0")), (0x45, rtp(96, 11, 9000, 1, b"\x10\x11\0\0" + bytes(9)))]
    said += [(0x84, struct.pack(">BBHIQIIIBBHI", 0x80, 200, 6, 1, 5 << 32, 3000, 1, 1, 0x81, 203, 1, 77)), (0x48, rtp(97, 5, 6000, 2, b"\0\x0a\x10\x11\0\0" + bytes(9)))]
    said += [(0x45, rtp(96, 1, 5, 21, key, b"q")), (0x45, rtp(96, 1, 5, 22, key, b"f")), (0x45, rtp(97, 1, 5, 23, b"\0\0" + key, b"f")), (0xC4, b""), (0x7F, rtp(96, 12, 12000, 1, key))]
    for flags in (0x17, 0x27, 0x06, 0x57, 0x9F, 0xD7):
        yield "rtp_receiver", str(flags), bytes([flags]) + b"".join(struct.pack(">BH", act, len(one)) + one for act, one in said)
    for number, text in enumerate(["#!::r=live/cam,m=publish,u=me,s=1,key=abc", "#!:{r=a/b,t=stream}", "publish:live/cam?key=abc&x", "read:live/cam:abc", "live/cam?m=publish"]):
        yield "srt_stream_id", str(number), text.encode()

    # The request of RFC 5769 §2.1, and what becomes of a check: transaction, tie-breaker, priority, role, nomination, names.
    yield "stun", "rfc5769", bytes.fromhex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
        "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
        "80280004e57a3bcf"
    )
    yield "stun", "check", bytes(range(26)) + b"ours:theirs"
    # Packets in order, doubled, changed and late; control packets.
    said = [record(2, bytes([step, flip, at]) + b"payload") for step, flip, at in ((65, 0, 0), (65, 0, 0), (64, 0, 0), (65, 1, 20), (90, 0, 0), (60, 0, 0))]
    said += [record(3, bytes([flip, 9]) + struct.pack(">HHI", 0x80C9, 1, 9)) for flip in (0, 0, 1)]
    said += [record(0, struct.pack(">HHII", 0x8060, 1, 0, 9) + bytes(24)), record(1, struct.pack(">HHI", 0x80C9, 1, 9) + bytes(24))]
    for profile in range(3):
        yield "srtp", str(profile), bytes([profile]) + b"".join(said)
    # A handshake in rounds of 50 ms, whole and with losses; then what nobody should say.
    hello = struct.pack(">BBHHHBH", 1, 0, 50, 0, 0, 0, 50) + b"\xfe\xfd" + bytes(48)
    odd = [record(1, hello), record(2, bytes(64)), record(4, b"\1"), record(5, b"data"), record(0x10, b"\x15\xfe\xfd"), record(3, b"\1\0")]
    for role in (0, 1):
        rounds = [record(0x16, b"")] * 8
        yield "webrtc_transport", f"{role}-whole", bytes([role]) + b"".join(rounds + odd)
        yield "webrtc_transport", f"{role}-first", bytes([role]) + b"".join(odd + rounds)
        lossy = [record(kind, b"") for kind in (0x58, 0x57, 0x59, 0x56, 0x58, 0x56, 0x57, 0x56, 0x56, 0x56)]
        yield "webrtc_transport", f"{role}-lossy", bytes([role]) + b"".join(one + other for one, other in zip(lossy, odd + odd))
    for path in sorted(FIXTURES.glob("rtp/*.rtp")):
        packets = list(rtp_packets(path.read_bytes()))
        for number, packet in enumerate(packets[:2]):
            yield "rtp_packet", f"{path.stem}-{number}", packet
        payloads = []
        for before, packet in zip([packets[0], *packets], packets):
            later = packet[4:8] != before[4:8]
            payloads.append(record(packet[1] & 0x80 | later, packet[12:]))
        codec = bytes([RTP_CODECS.index(path.stem.split(".")[0])])
        yield "rtp_depacketize", path.stem, codec + b"\x40" + b"".join(payloads)
    extensions = b"\xbe\xde\0\2\x10\x85\0\x42vid\0"
    yield "rtp_packet", "extensions", b"\xb1\xe0\x12\x34\0\0\x10\0\0\0\0\7\0\0\0\1" + extensions + b"\xaa\xbb\0\2"
    yield "rtp_packet", "two-byte", b"\x90\x60\0\1\0\0\0\0\0\0\0\7\x10\0\0\2\xc8\2\1\2\5\0\0\0\xaa"

    for path in sorted(WEBRTC_FIXTURES.glob("*.sdp")):
        yield "sdp", path.stem, path.read_bytes()
    fragment = b"a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=end-of-candidates\r\n"
    yield "sdp", "fragment", fragment
    rtcp = [
        struct.pack(">BBHIQIIIIIIIII", 0x81, 200, 12, 1, 0xE3D21F0080000000, 90_000, 30, 36_000, 7, 0x40FFFFFD, 0x1FFFE, 12, 99, 65_536),
        struct.pack(">BBHIBB7sB2x", 0x81, 202, 4, 1, 1, 7, b"me@here", 0),
        struct.pack(">BBHI", 0x81, 203, 1, 7),
        struct.pack(">BBHIIHHHH", 0x81, 205, 4, 1, 2, 0xFFFF, 0x8001, 16, 0),
        struct.pack(">BBHII", 0x81, 206, 2, 1, 2),
        struct.pack(">BBHIIIB3x", 0x84, 206, 4, 1, 0, 2, 9),
        struct.pack(">BBHII4sII", 0x8F, 206, 5, 1, 0, b"REMB", 0x0112625A, 2),
        struct.pack(">BBHIIHHIHBBBBBB", 0x8F, 205, 6, 1, 2, 4, 6, 100 << 8 | 3, 0xC528, 40, 4, 1, 100, 0xFF, 0xD8),
        struct.pack(">BBHIIHHIHHH8sBx", 0xAF, 205, 8, 1, 2, 0xFFFE, 20, 0xFFFFFF09, 0x2004, 0xA001, 0xE400, b"\1\1\1\1\2\2\xff\xff", 3)[:-1] + b"\1",
    ]
    for number, packet in enumerate(rtcp):
        yield "rtcp", str(number), packet
    yield "rtcp", "compound", b"".join(rtcp)

    for number, text in enumerate(["rtmp://h/live/cam", "rtmps://u:p@[::1]:443/a/b/c?token=x%20y&k=v", "rtmp://h:1936/app/n/"]):
        yield "rtmp_url", str(number), text.encode()
    for number, text in enumerate(["live/cam", "a.b_c~d-e/0", "live/../etc", "live/%2e%2e", "live/a b"]):
        yield "stream_name", str(number), text.encode()
    for number, text in enumerate(["index.m3u8", "main.m3u8?_HLS_msn=1&_HLS_part=0&_HLS_skip=YES", "main.m3u8?_HLS_part=1", "init.mp4?x=%00"]):
        yield "hls_request", str(number), text.encode()
    line = "00000000-1763800000123-i0-g-1a2b3c4d.m4s 512 0 2000000000 300k@0 212@200000000"
    for number, text in enumerate([f"cruvz-index 1\ninit-0-5e6f7081.mp4\n{line}\n", line.split()[0], "1763800000123-1a2b3c4d"]):
        yield "segment", str(number), text.encode()
    yield "hls_frames", "zero", bytes(300)
    yield "hls_frames", "ramp", bytes(range(256)) * 8
    yield "timeline", "zero", bytes(400)
    yield "timeline", "ramp", bytes(range(256)) * 4


def main(out):
    count = 0
    for target, name, data in seeds():
        folder = Path(out) / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        count += 1
    print(f"{count} seeds in {out}")


if __name__ == "__main__":
    main(sys.argv[1])
