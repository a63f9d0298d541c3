//! Packets out of bytes that begin and end anywhere.

use super::{Counters, PACKET_BYTES, packet::SYNC_BYTE};

/// Distances between packets: bare; with a time code before each (Blu-ray, AVCHD); with Reed-Solomon parity behind each
/// (DVB).
const STRIDES: [usize; 3] = [PACKET_BYTES, 192, 204];
/// Packets that must stand in a row before they are believed: a payload byte looks like a sync byte once in 256.
const CONFIRMATIONS: usize = 3;

/// Finds where packets begin and hands them out one after another.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// What was pushed and is not a whole packet yet; while packets are looked for, less than three of them.
    rest: Vec<u8>,
    /// The distance between packets, once found.
    stride: Option<usize>,
    /// Bytes between the last packet and the next that have not come yet.
    between: usize,
}

impl Sync {
    /// Takes `bytes` and gives each packet that is whole to `take`.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        counters: &mut Counters,
        mut take: impl FnMut(&[u8; PACKET_BYTES], &mut Counters),
    ) {
        if self.rest.is_empty() {
            let used = self.packets(bytes, counters, &mut take);
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(bytes);
            let used = self.packets(&joined, counters, &mut take);
            joined.drain(..used);
            self.rest = joined;
        }
    }

    /// Hands out the packets of `bytes` and says how many bytes are done with.
    fn packets(
        &mut self,
        bytes: &[u8],
        counters: &mut Counters,
        take: &mut impl FnMut(&[u8; PACKET_BYTES], &mut Counters),
    ) -> usize {
        let mut at = 0;
        loop {
            let passed = self.between.min(bytes.len() - at);
            at += passed;
            self.between -= passed;
            let Some(stride) = self.stride else {
                let Found { skipped, stride } = find(&bytes[at..]);
                at += skipped;
                counters.skipped_bytes += skipped as u64;
                self.stride = stride;
                if stride.is_none() {
                    return at;
                }
                continue;
            };
            let Some(packet) = bytes[at..].first_chunk() else { return at };
            if packet[0] != SYNC_BYTE {
                counters.resyncs += 1;
                self.stride = None;
                continue;
            }
            counters.packets += 1;
            take(packet, counters);
            at += PACKET_BYTES;
            self.between = stride - PACKET_BYTES;
        }
    }
}

pub(super) struct Found {
    /// Bytes that belong to no packet.
    pub(super) skipped: usize,
    /// The distance of the packets behind them; `None` when there are too few bytes to tell.
    pub(super) stride: Option<usize>,
}

/// Looks for packets in a row.
pub(super) fn find(bytes: &[u8]) -> Found {
    for (skipped, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == SYNC_BYTE) {
        let rest = &bytes[skipped..];
        let mut undecided = false;
        for stride in STRIDES {
            let mut ahead = (1..CONFIRMATIONS).map(|packet| rest.get(packet * stride));
            if ahead.clone().all(|byte| byte == Some(&SYNC_BYTE)) {
                return Found { skipped, stride: Some(stride) };
            }
            undecided |= ahead.all(|byte| byte.is_none_or(|byte| *byte == SYNC_BYTE));
        }
        if undecided {
            return Found { skipped, stride: None };
        }
    }
    Found { skipped: bytes.len(), stride: None }
}
