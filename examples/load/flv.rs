//! An HTTP-FLV body read in place: of each tag only the ends are kept.

use crate::{
    meter::{HEAD_BYTES, Incoming},
    stamp::TAIL_BYTES,
};

/// The FLV header and the first PreviousTagSize.
const FILE_HEADER_BYTES: usize = 13;
const TAG_HEADER_BYTES: usize = 11;
const PREVIOUS_SIZE_BYTES: usize = 4;
/// Far more than any server writes.
const MAX_HTTP_HEAD_BYTES: usize = 4096;
const VIDEO: u8 = 9;

enum Step {
    HttpHead,
    Skip { then_tag: usize },
    TagHead,
    Body { kind: u8, bytes: usize, left: usize },
}

/// Reads the response to a GET for a live FLV.
pub(crate) struct FlvReader {
    step: Step,
    head: Vec<u8>,
    tail: [u8; TAIL_BYTES],
}

impl FlvReader {
    pub(crate) fn new() -> Self {
        Self { step: Step::HttpHead, head: Vec::new(), tail: [0; TAIL_BYTES] }
    }

    /// Takes all of `input`, and hands each video tag to `video`.
    pub(crate) fn receive(
        &mut self,
        mut input: &[u8],
        mut video: impl FnMut(&Incoming<'_>),
    ) -> Result<(), String> {
        while !input.is_empty() {
            match self.step {
                Step::HttpHead => {
                    self.take_http_head(&mut input)?;
                }
                Step::Skip { then_tag } => {
                    let skipped = then_tag.min(input.len());
                    input = &input[skipped..];
                    self.skip(then_tag - skipped);
                }
                Step::TagHead => self.take_tag_head(&mut input),
                Step::Body { kind, bytes, left } => {
                    let (now, later) = input.split_at(left.min(input.len()));
                    input = later;
                    self.keep_ends(now);
                    let left = left - now.len();
                    self.step = Step::Body { kind, bytes, left };
                    if left == 0 {
                        if kind == VIDEO {
                            video(&Incoming { head: &self.head, tail: self.tail, bytes });
                        }
                        self.skip(PREVIOUS_SIZE_BYTES);
                    }
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.head.clear();
        self.step = if bytes == 0 { Step::TagHead } else { Step::Skip { then_tag: bytes } };
    }

    fn take_http_head(&mut self, input: &mut &[u8]) -> Result<(), String> {
        while let [byte, rest @ ..] = input {
            self.head.push(*byte);
            *input = rest;
            if self.head.ends_with(b"\r\n\r\n") {
                if !self.head.starts_with(b"HTTP/1.1 200") {
                    return Err(String::from_utf8_lossy(&self.head).lines().next().unwrap_or("").to_owned());
                }
                self.skip(FILE_HEADER_BYTES);
                return Ok(());
            }
            if self.head.len() > MAX_HTTP_HEAD_BYTES {
                return Err("an HTTP head without an end".to_owned());
            }
        }
        Ok(())
    }

    fn take_tag_head(&mut self, input: &mut &[u8]) {
        let missing = TAG_HEADER_BYTES - self.head.len();
        let (now, later) = input.split_at(missing.min(input.len()));
        self.head.extend_from_slice(now);
        *input = later;
        if let [kind, size0, size1, size2, ..] = self.head[..]
            && self.head.len() == TAG_HEADER_BYTES
        {
            let bytes = u32::from_be_bytes([0, size0, size1, size2]) as usize;
            self.step = Step::Body { kind, bytes, left: bytes };
            self.head.clear();
        }
    }

    fn keep_ends(&mut self, piece: &[u8]) {
        let room = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&piece[..room.min(piece.len())]);
        match piece.last_chunk() {
            Some(last) => self.tail = *last,
            None => {
                self.tail.rotate_left(piece.len());
                self.tail[TAIL_BYTES - piece.len()..].copy_from_slice(piece);
            }
        }
    }
}
