"""A judge of MPEG transport streams that shares nothing with the ones under test: continuity, and which frames came whole."""

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, field

PACKET = 188
NULL_PID = 0x1FFF
START_CODE = re.compile(b"\x00\x00\x00?\x01")
# What may be added or left out on the way without a change to any picture: parameter sets, delimiters, SEI, filler.
NOT_PICTURE = {6, 7, 8, 9, 12}
ADTS_HEADER = 7


@dataclass
class Stream:
    """What a transport stream held."""

    packets: int = 0
    continuity_errors: int = 0
    missing: int = 0  # packets, as far as counters of four bits tell
    jumps: int = 0  # discontinuities that the sender announced
    frames: dict = field(default_factory=lambda: {"video": [], "audio": []})  # a digest of each, in order


def read(data):
    """Reads a whole capture; it begins at a packet and may end within one."""
    stream, counters, pes = Stream(), {}, {}
    for at in range(0, len(data) - PACKET + 1, PACKET):
        packet = data[at : at + PACKET]
        if packet[0] != 0x47:
            raise ValueError(f"no sync byte at {at}")
        stream.packets += 1
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        if pid == NULL_PID:
            continue
        payload_at = 4 + (packet[3] & 0x20 and packet[4] + 1)
        has_payload = packet[3] & 0x10
        announced = packet[3] & 0x20 and packet[4] and packet[5] & 0x80
        fault = follow(stream, counters, pid, packet[3] & 15, has_payload, announced)
        if not has_payload or fault is None:
            continue
        payload = packet[payload_at:]
        if packet[1] & 0x40:
            finish(stream, pes.pop(pid, None))
            pes[pid] = bytearray(payload) if payload[:3] == b"\0\0\1" else None
        elif pes.get(pid) is not None:
            if fault:
                pes[pid] = None
            else:
                pes[pid] += payload
    # The last ones may be unfinished: they say nothing.
    return stream


def follow(stream, counters, pid, counter, has_payload, announced):
    """Checks one counter (ISO/IEC 13818-1 §2.4.3.3): true for a fault, none for a packet sent twice."""
    last = counters.get(pid)
    counters[pid] = counter
    if last is None:
        return False
    if announced:
        stream.jumps += 1
        return True
    if counter == last:
        return None if has_payload else False
    if has_payload and counter == (last + 1) & 15:
        return False
    stream.continuity_errors += 1
    stream.missing += (counter - last - (1 if has_payload else 0)) & 15
    return True


def finish(stream, pes):
    """Takes the frames of a whole PES packet."""
    if not pes or len(pes) < 9:
        return
    payload = bytes(pes[9 + pes[8] :])
    if 0xE0 <= pes[3] <= 0xEF:
        units = [unit for unit in START_CODE.split(payload) if unit and unit[0] & 31 not in NOT_PICTURE]
        stream.frames["video"].append(digest(b"".join(unit.rstrip(b"\0") for unit in units)))
    elif 0xC0 <= pes[3] <= 0xDF:
        stream.frames["audio"] += [digest(frame) for frame in adts(payload)]


def adts(payload):
    """The AAC frames of a PES packet, without their headers."""
    at = 0
    while at + ADTS_HEADER <= len(payload) and payload[at] == 0xFF:
        length = (payload[at + 3] & 3) << 11 | payload[at + 4] << 3 | payload[at + 5] >> 5
        if length < ADTS_HEADER or at + length > len(payload):
            return
        yield payload[at + ADTS_HEADER : at + length]
        at += length


def digest(frame):
    return hashlib.blake2b(frame, digest_size=12).digest()


def absent(sent, got):
    """By kind: frames that did not come whole, of those between the first and the last that did; and how many those are."""
    counts = {}
    for kind in ("video", "audio"):
        places = defaultdict(list)
        for place, frame in enumerate(sent.frames[kind]):
            places[frame].append(place)
        come = {place for frame in got.frames[kind] for place in places.get(frame, ())}
        span = max(come) - min(come) + 1 if come else 0
        counts[kind] = (span - len(come), span)
    return counts
