//! Reader against writer, against chunks built by hand, and against an independent implementation.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use rml_rtmp::chunk_io::{ChunkDeserializer, ChunkSerializer};
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::time::RtmpTimestamp;

use super::*;
use crate::protocol::rtmp::message::kind;
use crate::protocol::rtmp::{Error, Limits};

const VIDEO: MessageHeader = MessageHeader { csid: 6, timestamp_ms: 0, kind: kind::VIDEO, stream_id: 1 };

fn message(csid: u32, timestamp_ms: u32, payload: &[u8]) -> Message {
    let header = MessageHeader { csid, timestamp_ms, ..VIDEO };
    Message { header, payload: Bytes::copy_from_slice(payload) }
}

fn authorized(limits: &Limits) -> ChunkReader {
    let mut reader = ChunkReader::new(limits);
    reader.set_authorized(limits, true);
    reader
}

fn read_all(reader: &mut ChunkReader, mut input: &[u8]) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty(), "None means that the input is used up");
    Ok(messages)
}

fn read_in_steps(bytes: &[u8], step: usize) -> Result<Vec<Message>, Error> {
    let mut reader = authorized(&Limits::default());
    let mut messages = Vec::new();
    for piece in bytes.chunks(step) {
        messages.extend(read_all(&mut reader, piece)?);
    }
    assert_eq!(reader.received_bytes(), bytes.len() as u64);
    Ok(messages)
}

/// Writes chunks as a peer may: any format that fits, chunk streams interleaved.
#[derive(Default)]
struct Peer {
    out: BytesMut,
    /// Per chunk stream: its last header with the length, and the last timestamp field.
    last: Vec<(MessageHeader, usize, u32)>,
    /// Whether type 3 chunks inside a message leave out the extended timestamp.
    omits_extended: bool,
}

impl Peer {
    fn basic(&mut self, format: u8, csid: u32) {
        match csid {
            0..64 => self.out.put_u8(format << 6 | csid as u8),
            64..320 => self.out.put_slice(&[format << 6, (csid - 64) as u8]),
            _ => self.out.put_slice(&[format << 6 | 1, ((csid - 64) & 0xff) as u8, ((csid - 64) >> 8) as u8]),
        }
    }

    /// Begins a message with the shortest header allowed that is not shorter than `format`.
    fn begin(&mut self, header: MessageHeader, length: usize, format: u8) -> u32 {
        let place = self.last.iter().position(|(last, ..)| last.csid == header.csid);
        let mut shortest = 0;
        let mut field = header.timestamp_ms;
        if let Some((last, last_length, last_field)) = place.map(|place| self.last[place])
            && last.stream_id == header.stream_id
            && format > 0
        {
            field = header.timestamp_ms.wrapping_sub(last.timestamp_ms);
            shortest = match (last.kind == header.kind && last_length == length, field == last_field) {
                (false, _) => 1,
                (true, false) => 2,
                (true, true) => 3,
            };
        }
        self.basic(shortest.min(format), header.csid);
        let format = shortest.min(format);
        if format < 3 {
            self.out.put_uint(field.min(EXTENDED).into(), 3);
        }
        if format < 2 {
            self.out.put_uint(length as u64, 3);
            self.out.put_u8(header.kind);
        }
        if format == 0 {
            self.out.put_u32_le(header.stream_id);
        }
        if field >= EXTENDED {
            self.out.put_u32(field);
        }
        match place {
            Some(place) => self.last[place] = (header, length, field),
            None => self.last.push((header, length, field)),
        }
        field
    }

    fn go_on(&mut self, csid: u32, field: u32) {
        self.basic(3, csid);
        if field >= EXTENDED && !self.omits_extended {
            self.out.put_u32(field);
        }
    }
}

/// Writes `messages` with up to 7 of them open at once, as `choices` decide; what arrives, in order of completion.
fn interleave(messages: &[Message], choices: &[u8], omits_extended: bool) -> (BytesMut, Vec<Message>) {
    let mut peer = Peer { omits_extended, ..Peer::default() };
    let mut waiting = messages.iter();
    let mut next = waiting.next();
    let mut open: Vec<(&Message, usize, u32)> = Vec::new();
    let mut arrived = Vec::new();
    let mut chunk_size = INITIAL_CHUNK_SIZE as usize;
    let mut choices = choices.iter().copied().cycle();
    while next.is_some() || !open.is_empty() {
        let choice = choices.next().unwrap_or(0);
        if choice > 250 {
            // At least 4, so that the next Set Chunk Size is one chunk.
            chunk_size = 4 + usize::from(choices.next().unwrap_or(0)) * 3;
            let control =
                MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::SET_CHUNK_SIZE, stream_id: 0 };
            peer.begin(control, 4, 0);
            peer.out.put_u32(chunk_size as u32);
        }
        let may_open = next.is_some_and(|message| {
            open.len() < 7 && open.iter().all(|(other, ..)| other.header.csid != message.header.csid)
        });
        let index = match next {
            Some(message) if open.is_empty() || (may_open && choice & 1 == 0) => {
                let field = peer.begin(message.header, message.payload.len(), choice >> 1 & 3);
                open.push((message, 0, field));
                next = waiting.next();
                open.len() - 1
            }
            _ => {
                let index = usize::from(choice >> 1) % open.len();
                peer.go_on(open[index].0.header.csid, open[index].2);
                index
            }
        };
        let (message, sent, _) = &mut open[index];
        let end = message.payload.len().min(*sent + chunk_size);
        peer.out.put_slice(&message.payload[*sent..end]);
        *sent = end;
        if end == message.payload.len() {
            arrived.push(message.clone());
            open.remove(index);
        }
    }
    (peer.out, arrived)
}

fn any_csid() -> impl Strategy<Value = u32> {
    prop_oneof![3..9u32, Just(63), Just(64), Just(319), Just(320), Just(65_599)]
}

fn any_timestamp() -> impl Strategy<Value = u32> {
    prop_oneof![0..100_000u32, 0xff_fff0..0x100_0010u32, 0xffff_fff0..=u32::MAX, any::<u32>()]
}

fn any_message() -> impl Strategy<Value = Message> {
    let kinds = proptest::sample::select(vec![kind::AUDIO, kind::VIDEO, kind::DATA, kind::COMMAND, 99]);
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::collection::vec(any::<u8>(), 100..700),
    ];
    (any_csid(), any_timestamp(), kinds, 0..3u32, payload).prop_map(
        |(csid, timestamp_ms, kind, stream_id, payload)| Message {
            header: MessageHeader { csid, timestamp_ms, kind, stream_id },
            payload: payload.into(),
        },
    )
}

proptest! {
    // At least 2,000; `PROPTEST_CASES` asks for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    #[test]
    fn interleaved_messages_arrive_byte_identical(
        messages in proptest::collection::vec(any_message(), 1..12),
        choices in proptest::collection::vec(any::<u8>(), 1..64),
        step in prop_oneof![1..20usize, 1..2_000usize],
    ) {
        let (bytes, arrived) = interleave(&messages, &choices, false);
        prop_assert_eq!(read_in_steps(&bytes, step), Ok(arrived));
    }

    #[test]
    fn what_the_writer_writes_the_reader_reads(
        messages in proptest::collection::vec(any_message(), 1..6),
        chunk_size in 4..300u32,
        step in 1..300usize,
    ) {
        let mut out = BytesMut::new();
        let control = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::SET_CHUNK_SIZE, stream_id: 0 };
        write_message(&mut out, &control, &[&chunk_size.to_be_bytes()], 128).unwrap();
        for message in &messages {
            let (a, b) = message.payload.split_at(message.payload.len() / 3);
            let before = out.len();
            write_message(&mut out, &message.header, &[a, &[], b], chunk_size).unwrap();
            prop_assert_eq!(out.len() - before, encoded_len(&message.header, message.payload.len(), chunk_size));
        }
        prop_assert_eq!(read_in_steps(&out, step), Ok(messages));
    }

    #[test]
    fn any_bytes_are_messages_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        step in 1..600usize,
    ) {
        let _ = read_in_steps(&bytes, step);
    }

    #[test]
    fn damaged_chunks_are_messages_or_an_error(
        messages in proptest::collection::vec(any_message(), 1..6),
        choices in proptest::collection::vec(any::<u8>(), 1..32),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        step in 1..300usize,
    ) {
        let (mut bytes, _) = interleave(&messages, &choices, false);
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let mut reader = authorized(&Limits::default());
        for piece in bytes.chunks(step) {
            if read_all(&mut reader, piece).is_err() {
                break;
            }
            prop_assert!(reader.buffered_bytes() <= 8 * 8192);
        }
    }

    #[test]
    fn left_out_extended_timestamps_are_noticed_at_any_split(
        timestamp_ms in 0xff_ffff..=u32::MAX,
        length in 129..400usize,
        step in 1..20usize,
    ) {
        // 0xaa never occurs in these timestamps' first byte together with the rest by chance: compared below.
        prop_assume!(timestamp_ms != 0xaaaa_aaaa);
        let one = message(6, timestamp_ms, &vec![0xaa; length]);
        let two = message(6, timestamp_ms, &[0xaa; 3]);
        let (bytes, arrived) = interleave(&[one, two], &[0], true);
        prop_assert_eq!(read_in_steps(&bytes, step), Ok(arrived));
    }
}

#[test]
fn a_payload_that_begins_like_the_left_out_timestamp_is_payload() {
    // Three of the four bytes agree, and then the message ends: the bytes after belong to the next chunk.
    let timestamp_ms = 0x0101_0206_u32;
    let mut payload = vec![0; 128];
    payload.extend_from_slice(&[1, 1]);
    let first = message(6, timestamp_ms, &payload);
    let second = message(7, 9, &[5; 10]);
    let (mut bytes, _) = interleave(std::slice::from_ref(&first), &[0], true);
    write_message(&mut bytes, &second.header, &[&second.payload], 128).unwrap();
    for step in 1..bytes.len() {
        assert_eq!(read_in_steps(&bytes, step).unwrap(), [first.clone(), second.clone()], "step {step}");
    }
}

#[test]
fn type_3_chunks_may_repeat_the_absolute_timestamp_instead_of_the_delta() {
    let mut peer = Peer::default();
    let first = message(6, 1000, &[1; 10]);
    let second = message(6, 1000 + 0x0100_0000, &[2; 200]);
    peer.begin(first.header, 10, 0);
    peer.out.put_slice(&first.payload);
    peer.begin(second.header, 200, 3);
    peer.out.put_slice(&second.payload[..128]);
    peer.go_on(6, second.header.timestamp_ms);
    peer.out.put_slice(&second.payload[128..]);
    assert_eq!(read_in_steps(&peer.out, 5).unwrap(), [first, second]);
}

#[test]
fn timestamps_go_on_across_24_and_32_bits() {
    for start in [0xff_fffa_u32, 0xffff_fffa] {
        let messages: Vec<_> =
            (0..6).map(|step| message(4, start.wrapping_add(step * 3), &[7; 300])).collect();
        for format in [0b000, 0b010, 0b100, 0b110] {
            let (bytes, arrived) = interleave(&messages, &[format], false);
            assert_eq!(read_in_steps(&bytes, 11).unwrap(), arrived);
        }
    }
}

#[test]
fn a_delta_of_24_set_bits_with_a_small_extended_timestamp_is_that_small_delta() {
    let mut out = BytesMut::new();
    write_message(&mut out, &MessageHeader { timestamp_ms: 100, ..VIDEO }, &[&[1]], 128).unwrap();
    out.put_slice(&[0x46, 0xff, 0xff, 0xff, 0, 0, 1, 9, 0, 0, 0, 40, 2]);
    let messages = read_in_steps(&out, 3).unwrap();
    assert_eq!(messages[1].header.timestamp_ms, 140);
}

#[test]
fn a_type_3_message_repeats_the_last_field_as_its_delta() {
    let mut out = BytesMut::new();
    write_message(&mut out, &MessageHeader { timestamp_ms: 100, ..VIDEO }, &[&[1]], 128).unwrap();
    out.put_slice(&[0xc6, 2]);
    out.put_slice(&[0x86, 0, 0, 40, 3, 0xc6, 4]);
    let timestamps: Vec<_> =
        read_in_steps(&out, 100).unwrap().iter().map(|message| message.header.timestamp_ms).collect();
    assert_eq!(timestamps, [100, 200, 240, 280]);
}

#[test]
fn an_abort_forgets_the_unfinished_message() {
    let mut out = BytesMut::new();
    let mut peer = Peer::default();
    peer.begin(VIDEO, 300, 0);
    peer.out.put_slice(&[1; 128]);
    out.unsplit(peer.out);
    let control = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::ABORT, stream_id: 0 };
    write_message(&mut out, &control, &[&6_u32.to_be_bytes()], 128).unwrap();
    let whole = message(6, 50, &[2; 200]);
    write_message(&mut out, &whole.header, &[&whole.payload], 128).unwrap();
    let mut reader = authorized(&Limits::default());
    assert_eq!(read_all(&mut reader, &out).unwrap(), [whole]);
    assert_eq!(reader.buffered_bytes(), 0);
}

fn part(kind: u8, timestamp_ms: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&timestamp_ms.to_be_bytes()[1..]);
    out.push((timestamp_ms >> 24) as u8);
    out.extend_from_slice(&[0; 3]);
    out.extend_from_slice(payload);
    out.extend_from_slice(&(11 + payload.len() as u32).to_be_bytes());
    out
}

fn aggregate(parts: &[Vec<u8>]) -> BytesMut {
    let mut out = BytesMut::new();
    let header = MessageHeader { kind: kind::AGGREGATE, timestamp_ms: 5_000, ..VIDEO };
    write_message(&mut out, &header, &[&parts.concat()], 128).unwrap();
    out
}

#[test]
fn an_aggregate_is_its_parts_on_the_aggregate_s_clock() {
    let start = 0xffff_fff0_u32;
    let mut last = part(kind::AUDIO, start.wrapping_add(23), &[3; 4]);
    last.truncate(last.len() - 4);
    let out = aggregate(&[
        part(kind::VIDEO, start, &[1; 200]),
        part(kind::DATA, start.wrapping_add(20), &[]),
        last,
    ]);
    let messages = read_in_steps(&out, 50).unwrap();
    let seen: Vec<_> =
        messages.iter().map(|m| (m.header.kind, m.header.timestamp_ms, m.payload.len())).collect();
    assert_eq!(seen, [(kind::VIDEO, 5_000, 200), (kind::DATA, 5_020, 0), (kind::AUDIO, 5_023, 4)]);
    assert!(messages.iter().all(|message| message.header.stream_id == 1));
}

#[test]
fn an_aggregate_that_ends_inside_a_part_is_an_error() {
    let whole = part(kind::VIDEO, 0, &[1; 20]);
    for cut in [1, 10, 11, 30] {
        assert_eq!(read_in_steps(&aggregate(&[whole[..cut].to_vec()]), 999), Err(Error::Aggregate), "{cut}");
    }
}

#[test]
fn an_independent_implementation_reads_and_writes_the_same() {
    // It writes nothing at all for an empty message.
    let sizes = [1_usize, 127, 128, 129, 5_000];
    let starts = [0_u32, 0xff_fffe, 0xffff_fffe, 3];
    let messages: Vec<_> = starts
        .into_iter()
        .flat_map(|start| {
            sizes.iter().map(move |size| message(4, start.wrapping_add(*size as u32), &vec![9; *size]))
        })
        .collect();

    let mut theirs = ChunkSerializer::new();
    let mut bytes = Vec::new();
    for message in &messages {
        let message = MessagePayload {
            timestamp: RtmpTimestamp::new(message.header.timestamp_ms),
            type_id: message.header.kind,
            message_stream_id: message.header.stream_id,
            data: message.payload.to_vec().into(),
        };
        bytes.extend(theirs.serialize(&message, false, false).unwrap().bytes);
    }
    assert!(read_in_steps(&bytes, 77).unwrap() == messages, "what they write, we read");

    let mut ours = BytesMut::new();
    for message in &messages {
        write_message(&mut ours, &message.header, &[&message.payload], 128).unwrap();
    }
    let mut theirs = ChunkDeserializer::new();
    let mut input: &[u8] = &ours;
    for message in &messages {
        let seen = theirs.get_next_message(input).unwrap().unwrap();
        assert_eq!(
            (seen.timestamp.value, &seen.data[..]),
            (message.header.timestamp_ms, &message.payload[..])
        );
        input = &[];
    }
}

/// Reads `bytes` as an unauthorised peer's.
fn read_unauthorized(bytes: &[u8], limits: &Limits) -> Result<Vec<Message>, Error> {
    read_all(&mut ChunkReader::new(limits), bytes)
}

#[test]
fn a_declared_length_is_refused_or_costs_nothing_until_it_comes() {
    let mut peer = Peer::default();
    peer.begin(VIDEO, 65_537, 0);
    let limits = Limits::default();
    assert_eq!(
        read_unauthorized(&peer.out, &limits),
        Err(Error::MessageTooLong { bytes: 65_537, limit: 65_536 })
    );
    let mut reader = authorized(&limits);
    assert_eq!(read_all(&mut reader, &peer.out), Ok(vec![]));
    assert_eq!(reader.buffered_bytes(), 0);
    read_all(&mut reader, &[1; 128]).unwrap();
    assert_eq!(reader.buffered_bytes(), 4096);

    let mut peer = Peer::default();
    peer.begin(VIDEO, (8 << 20) + 1, 0);
    assert!(matches!(read_in_steps(&peer.out, 99), Err(Error::MessageTooLong { .. })));
}

#[test]
fn a_finished_message_holds_no_spare_memory() {
    let payload = vec![3; 100_000];
    let mut bytes = BytesMut::new();
    write_message(&mut bytes, &VIDEO, &[&payload], 128).unwrap();
    let mut reader = authorized(&Limits::default());
    let message = bytes.chunks(1400).flat_map(|piece| read_all(&mut reader, piece).unwrap()).next().unwrap();
    assert_eq!(message.payload, payload);
    assert_eq!(reader.buffered_bytes(), 0);
    assert_eq!(Vec::from(message.payload).capacity(), 100_000);
}

#[test]
fn unfinished_messages_and_chunk_streams_are_counted() {
    let mut peer = Peer::default();
    for csid in 3..11 {
        peer.begin(MessageHeader { csid, ..VIDEO }, 300, 0);
        peer.out.put_slice(&[0; 128]);
    }
    assert_eq!(read_unauthorized(&peer.out, &Limits::default()), Ok(vec![]));
    peer.begin(MessageHeader { csid: 11, ..VIDEO }, 300, 0);
    assert_eq!(read_unauthorized(&peer.out, &Limits::default()), Err(Error::TooManyPartialMessages(8)));

    let mut bytes = BytesMut::new();
    for csid in 100..165 {
        write_message(&mut bytes, &MessageHeader { csid, ..VIDEO }, &[&[0]], 128).unwrap();
    }
    assert_eq!(read_unauthorized(&bytes, &Limits::default()), Err(Error::TooManyChunkStreams(64)));
}

#[test]
fn unfinished_messages_share_a_memory_budget() {
    let limits = Limits { unauthorized_buffered_bytes: 100_000, ..Limits::default() };
    let mut peer = Peer::default();
    let control = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::SET_CHUNK_SIZE, stream_id: 0 };
    peer.begin(control, 4, 0);
    peer.out.put_u32(60_000);
    for csid in [3, 4] {
        peer.begin(MessageHeader { csid, ..VIDEO }, 64_000, 0);
        peer.out.put_slice(&[0; 60_000]);
    }
    assert_eq!(read_unauthorized(&peer.out, &limits), Err(Error::TooMuchBuffered(100_000)));
}

fn with_chunk_size(chunk_size: u32, length: usize) -> BytesMut {
    let mut out = BytesMut::new();
    let control = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::SET_CHUNK_SIZE, stream_id: 0 };
    write_message(&mut out, &control, &[&chunk_size.to_be_bytes()], 128).unwrap();
    if (1..=1 << 24).contains(&chunk_size) {
        write_message(&mut out, &VIDEO, &[&vec![0; length]], chunk_size).unwrap();
    }
    out
}

#[test]
fn small_chunks_are_taken_until_they_cost_too_much() {
    assert_eq!(read_in_steps(&with_chunk_size(64, 1 << 20), 4096).unwrap().len(), 1);
    assert_eq!(read_in_steps(&with_chunk_size(1, 3_000), 4096).unwrap().len(), 1);
    let refused = read_in_steps(&with_chunk_size(1, 1 << 20), 4096);
    assert!(matches!(refused, Err(Error::TooManyChunks { bytes }) if bytes < 20_000), "{refused:?}");
    let parts = aggregate(&vec![part(kind::AUDIO, 0, &[]); 10_000]);
    assert!(matches!(read_in_steps(&parts, 4096), Err(Error::TooManyChunks { .. })));
}

#[test]
fn chunk_sizes_without_a_meaning_are_refused_and_huge_ones_mean_the_longest_message() {
    for size in [0, 1 << 31, u32::MAX] {
        assert_eq!(read_in_steps(&with_chunk_size(size, 0), 99), Err(Error::ChunkSize(size)));
    }
    let mut bytes = with_chunk_size(i32::MAX as u32, 0);
    write_message(&mut bytes, &VIDEO, &[&[1; 5_000]], 1 << 24).unwrap();
    assert_eq!(read_in_steps(&bytes, 99).unwrap()[0].payload.len(), 5_000);
}

#[test]
fn broken_chunk_sequences_are_named() {
    let mut peer = Peer::default();
    peer.begin(VIDEO, 300, 0);
    peer.out.put_slice(&[0; 128]);
    peer.begin(VIDEO, 300, 0);
    let interrupted = Error::InterruptedMessage { csid: 6, received: 128, length: 300 };
    assert_eq!(read_in_steps(&peer.out, 99), Err(interrupted));
    assert_eq!(read_in_steps(&[0xc6], 1), Err(Error::MissingHeader { csid: 6, format: 3 }));
    assert_eq!(read_in_steps(&[0x86], 1), Err(Error::MissingHeader { csid: 6, format: 2 }));
    let short = [2, 0, 0, 0, 0, 0, 2, kind::SET_CHUNK_SIZE, 0, 0, 0, 0, 1, 1];
    assert_eq!(
        read_in_steps(&short, 99),
        Err(Error::ControlMessage { kind: kind::SET_CHUNK_SIZE, bytes: 2 })
    );
}

#[test]
fn a_first_header_of_type_1_is_taken() {
    let bytes = [0x42, 0, 0, 5, 0, 0, 1, kind::USER_CONTROL, 9];
    let messages = read_in_steps(&bytes, 99).unwrap();
    let header = MessageHeader { csid: 2, timestamp_ms: 5, kind: kind::USER_CONTROL, stream_id: 0 };
    assert_eq!(messages[0].header, header);
}

#[test]
fn what_cannot_be_written_leaves_the_output_alone() {
    let mut out = BytesMut::from(&b"before"[..]);
    let long = vec![0; MAX_MESSAGE_BYTES + 1];
    for (header, payload, chunk_size, error) in [
        (VIDEO, &long[..], 128, Error::MessageTooLong { bytes: long.len(), limit: MAX_MESSAGE_BYTES }),
        (MessageHeader { csid: 1, ..VIDEO }, &[], 128, Error::ChunkStreamId(1)),
        (MessageHeader { csid: 65_600, ..VIDEO }, &[], 128, Error::ChunkStreamId(65_600)),
        (VIDEO, &[], 0, Error::ChunkSize(0)),
    ] {
        assert_eq!(write_message(&mut out, &header, &[payload], chunk_size), Err(error));
        assert_eq!(out, &b"before"[..]);
    }
}
