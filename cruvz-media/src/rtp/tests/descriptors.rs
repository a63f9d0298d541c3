//! What browsers write before their payloads beside what our fixtures have: layers, structures, sizes.

use super::*;

const VP8_KEY: [u8; 12] = [0xF0, 0x62, 0, 0x9D, 1, 0x2A, 0x40, 1, 0xB4, 0, 0, 7];
const VP9_KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0, 0x14, 0x10, 0x0B, 0x56, 6];

/// The frames of these payloads, the last of which has the marker.
fn assembled(codec: Codec, payloads: &[&[&[u8]]]) -> Vec<Bytes> {
    let packets: Vec<_> = (0..)
        .zip(payloads)
        .map(|(seq, parts)| {
            let marker = usize::from(seq) + 1 == payloads.len();
            Packet::new(Header { marker, seq, ..Header::default() }, parts.concat().into())
        })
        .collect();
    let (events, counters) = depacketize(codec, &packets);
    assert_eq!(counters.dropped(), 0, "{counters:?}");
    frames(&events).into_iter().map(|(_, _, payload)| payload).collect()
}

#[test]
fn every_field_of_a_vp8_descriptor_is_passed_over() {
    let descriptors: [&[u8]; 6] = [
        &[0x10],
        // Picture ids of 7 and 15 bits.
        &[0x90, 0x80, 0x11],
        &[0x90, 0x80, 0x91, 0x22],
        // With TL0PICIDX, TID and KEYIDX, as Chromium has them for its temporal layers.
        &[0x90, 0xE0, 0x91, 0x22, 5, 0x20],
        &[0x90, 0x50, 5, 0x01],
        &[0x90, 0x30, 0x21],
    ];
    for descriptor in descriptors {
        let (front, back) = VP8_KEY.split_at(11);
        // The rest is of another partition, and begins it.
        let rest = [&[descriptor[0] | 0x01], &descriptor[1..]].concat();
        let found = assembled(Codec::Vp8, &[&[descriptor, front], &[&rest, back]]);
        assert_eq!(found, [Bytes::from_static(&VP8_KEY)], "{descriptor:02x?}");
    }
}

#[test]
fn every_field_of_a_vp9_descriptor_is_passed_over() {
    let descriptors: [&[u8]; 7] = [
        &[0x0C],
        &[0x8C, 0x11],
        &[0x8C, 0x91, 0x22],
        // Layer indices, with TL0PICIDX and in flexible mode without.
        &[0xAC, 0x91, 0x22, 0x20, 7],
        &[0xBC, 0x91, 0x22, 0x20],
        // The pictures that it refers to: three at most.
        &[0xDC, 0x91, 0x22, 3, 5, 6],
        // A scalability structure: two layers with sizes, two pictures with one reference and two.
        &[0x8E, 0x11, 0x38, 0, 160, 0, 90, 1, 64, 0, 180, 2, 0x04, 1, 0x28, 1, 2],
    ];
    for descriptor in descriptors {
        let found = assembled(Codec::Vp9, &[&[descriptor, &VP9_KEY]]);
        assert_eq!(found, [Bytes::from_static(&VP9_KEY)], "{descriptor:02x?}");
    }
}

#[test]
fn spatial_layers_of_vp9_become_a_superframe() {
    let upper = [0x86, 0, 0x40, 0x92];
    // Begin and end of layer 0, then layer 1 in two packets.
    let layer = |flags: u8, layer: u8| [0xA0 | flags, 0x11, layer << 1, 7];
    let found = assembled(
        Codec::Vp9,
        &[&[&layer(0x0C, 0), &VP9_KEY], &[&layer(0x08, 1), &upper[..2]], &[&layer(0x04, 1), &upper[2..]]],
    );
    // Two frames, sizes of one byte: 10 and 4 (VP9 bitstream specification annex B).
    let expected = [&VP9_KEY[..], &upper, &[0xC1, 10, 4, 0xC1]].concat();
    assert_eq!(found, [Bytes::from(expected)]);
}

#[test]
fn larger_layers_of_vp9_have_larger_sizes_in_the_index() {
    let key = [&VP9_KEY[..], &[7; 290]].concat();
    let found = assembled(Codec::Vp9, &[&[&[0xAC, 1, 0, 7], &key], &[&[0xAC, 1, 2, 7], &[0x86, 1]]]);
    let expected = [&key[..], &[0x86, 1], &[0xC9, 44, 1, 2, 0, 0xC9]].concat();
    assert_eq!(found, [Bytes::from(expected)]);
}

#[test]
fn elements_of_av1_come_with_lengths_and_sizes_or_without() {
    let params = Fixture::of(Codec::Av1).params();
    let header = &params.config[4..];
    // The sequence header as an OBU without a size field.
    let bare = [&[0x08], &header[2..]].concat();
    let frame = [0x30, 0x10, 1, 2, 3];
    let unit = Bytes::from([header, &[0x32, 4, 0x10, 1, 2, 3]].concat());
    let length = [bare.len() as u8];
    let payloads: [&[&[&[u8]]]; 6] = [
        // Two elements, the last without length; all with lengths; with size fields of their own.
        &[&[&[0x28], &length, &bare, &frame]],
        &[&[&[0x08], &length, &bare, &[5], &frame]],
        &[&[&[0x28], &[header.len() as u8], header, &[0x32, 4, 0x10, 1, 2, 3]]],
        // A temporal delimiter before them, which goes.
        &[&[&[0x38], &[1, 0x10], &length, &bare, &frame]],
        // In two packets, cut within the frame; and within its header.
        &[&[&[0x68], &length, &bare, &frame[..2]], &[&[0x90], &frame[2..]]],
        &[
            &[&[0x58], &bare[..3]],
            &[&[0xE0], &[bare.len() as u8 - 3], &bare[3..], &frame[..1]],
            &[&[0x90], &frame[1..]],
        ],
    ];
    for (at, payloads) in payloads.iter().enumerate() {
        assert_eq!(assembled(Codec::Av1, payloads), std::slice::from_ref(&unit), "case {at}");
    }
}

#[test]
fn layers_of_av1_keep_their_ids() {
    let params = Fixture::of(Codec::Av1).params();
    let key = [&params.config[4..], &[0x36, 0x20, 2, 0x10, 9]].concat();
    let frame = frame(Codec::Av1, 0, key.clone());
    let packets = packetize(&mut Packetizer::new(&params, 1_000).unwrap(), 0, &[frame]);
    let (events, _) = depacketize(Codec::Av1, &packets);
    assert_eq!(frames(&events)[0].2, key);
}
