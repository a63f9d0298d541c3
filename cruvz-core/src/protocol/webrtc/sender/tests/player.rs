//! A player that opens what it is sent, counts the numbers of packets, and asks for those that it lacks.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::BytesMut;
use cruvz_media::rtp;

use super::{AUDIO, VIDEO};
use crate::protocol::webrtc::{
    rtcp::{self, ReportBlock, SenderInfo, write},
    srtp::{Inbound, MasterKey, OpenError},
};

/// How long after it was found missing, or asked for, a packet is asked for (again).
const PATIENCE: [Duration; 2] = [Duration::from_millis(8), Duration::from_millis(70)];

/// A packet of media as the player has it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) number: u64,
    pub(super) marker: bool,
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
}

pub(super) struct Player {
    srtp: Inbound,
    heard: HashMap<u32, BTreeMap<u64, Heard>>,
    /// When to ask for what is missing.
    missing: BTreeMap<(u32, u64), Duration>,
    pub(super) rtx_packets: usize,
    /// Numbers of the transport, as they came.
    pub(super) transport: Vec<u16>,
    pub(super) reports: Vec<(Duration, u32, SenderInfo)>,
    pub(super) goodbyes: Vec<u32>,
    next_report: Duration,
    /// Packets that had come already.
    pub(super) repeated: usize,
}

impl Player {
    pub(super) fn new(master: MasterKey) -> Self {
        Self {
            srtp: Inbound::new(master, 8),
            heard: HashMap::new(),
            missing: BTreeMap::new(),
            rtx_packets: 0,
            transport: Vec::new(),
            reports: Vec::new(),
            goodbyes: Vec::new(),
            next_report: Duration::from_secs(1),
            repeated: 0,
        }
    }

    pub(super) fn heard(&self, ssrc: u32) -> impl Iterator<Item = &Heard> {
        self.heard.get(&ssrc).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn receive(&mut self, now: Duration, datagram: &[u8]) {
        let mut packet = BytesMut::from(datagram);
        // Payload types of RTP are below 64 or above 95 with the marker taken off (RFC 5761 §4).
        if (192..224).contains(&datagram[1]) {
            self.srtp.open_rtcp(&mut packet).unwrap();
            self.rtcp(now, &packet);
            return;
        }
        match self.srtp.open_rtp(&mut packet) {
            Ok(number) => self.rtp(now, number, packet),
            Err(OpenError::Replayed { .. }) => self.repeated += 1,
            Err(error) => panic!("{error}"),
        }
    }

    fn rtp(&mut self, now: Duration, number: u64, packet: BytesMut) {
        let packet = rtp::Packet::parse(packet.freeze()).unwrap();
        let header = &packet.header;
        if let Some(seq) = packet.extension(3) {
            self.transport.push(u16::from_be_bytes(seq.try_into().unwrap()));
        }
        let (ssrc, number, payload) = match VIDEO.rtx {
            Some(rtx) if rtx.ssrc == header.ssrc => {
                assert_eq!(header.payload_type, rtx.payload_type);
                self.rtx_packets += 1;
                let (original, payload) = packet.payload.split_at(2);
                let newest = *self.heard[&VIDEO.ssrc].last_key_value().unwrap().0;
                let behind = (newest as u16).wrapping_sub(u16::from_be_bytes(original.try_into().unwrap()));
                // What was lost last is ahead of what came.
                (VIDEO.ssrc, newest.wrapping_sub(i64::from(behind as i16) as u64), payload)
            }
            _ => (header.ssrc, number, &packet.payload[..]),
        };
        let of = self.heard.entry(ssrc).or_default();
        let newest = of.last_key_value().map(|(number, _)| *number);
        for missing in newest.map_or(number..number, |newest| newest + 1..number) {
            self.missing.insert((ssrc, missing), now + PATIENCE[0]);
        }
        self.missing.remove(&(ssrc, number));
        let (marker, timestamp) = (header.marker, header.timestamp);
        of.insert(number, Heard { number, marker, timestamp, payload: payload.to_vec() });
    }

    fn rtcp(&mut self, now: Duration, compound: &[u8]) {
        for packet in rtcp::packets(compound) {
            match packet.unwrap() {
                rtcp::Packet::SenderReport(report) => self.reports.push((now, report.ssrc, report.info)),
                rtcp::Packet::Goodbye(goodbye) => self.goodbyes.extend(goodbye.ssrcs()),
                _ => {}
            }
        }
    }

    /// What it tells the sender now.
    pub(super) fn feedback(&mut self, now: Duration) -> Vec<Vec<u8>> {
        let mut compounds = Vec::new();
        for ssrc in [VIDEO.ssrc, AUDIO.ssrc] {
            let due = |of: u32, at: Duration| of == ssrc && at <= now;
            let wanted: Vec<u64> = self
                .missing
                .iter()
                .filter(|((of, _), at)| due(*of, **at))
                .map(|((_, number), _)| *number)
                .collect();
            for number in &wanted {
                self.missing.insert((ssrc, *number), now + PATIENCE[1]);
            }
            if !wanted.is_empty() {
                let seqs: Vec<u16> = wanted.iter().map(|number| *number as u16).collect();
                let mut compound = Vec::new();
                write::nack(&mut compound, 1, ssrc, &seqs);
                compounds.push(compound);
            }
        }
        if now >= self.next_report {
            self.next_report += Duration::from_secs(1);
            compounds.push(self.receiver_report(now));
        }
        compounds
    }

    fn receiver_report(&self, now: Duration) -> Vec<u8> {
        let block = |ssrc| {
            let (at, _, info) = self.reports.iter().rfind(|(_, of, _)| *of == ssrc)?;
            Some(ReportBlock {
                ssrc,
                fraction_lost: 13,
                cumulative_lost: 21,
                highest_seq: 0,
                jitter: 90,
                last_sr: rtcp::compact_ntp(info.ntp),
                delay_since_last_sr: ((now - *at).as_micros() * 65_536 / 1_000_000) as u32,
            })
        };
        let blocks: Vec<_> = [VIDEO.ssrc, AUDIO.ssrc].into_iter().filter_map(block).collect();
        let mut compound = Vec::new();
        write::receiver_report(&mut compound, 1, &blocks);
        compound
    }
}
