//! Which pictures can be sent to players that show them in the order they come, so that what they show is never out of order and
//! never damaged.

use super::is_discardable;
use crate::{Codec, CodecParams, Frame, codec::h264};

/// Follows the pictures of one track with B-frames, for players that show what they get as they get it, as browsers do: of what
/// it takes none is shown before one that was sent earlier, and none refers to one that was not sent.
///
/// Of H.264 it reads from slice headers which pictures that are left out others may refer to; of other codecs, and where
/// these headers say too little, it takes nothing from a picture that others may refer to up to the next keyframe.
#[derive(Debug, Default)]
pub struct Order {
    params: Option<CodecParams>,
    /// When the latest picture that was taken is shown, in µs.
    shown_us: Option<i64>,
    /// Whether a picture that others may refer to was left out since the last keyframe.
    is_missing: bool,
    /// Who refers to whom, where that can be told.
    references: Option<h264::References>,
}

impl Order {
    /// Goes on with a track of such parameters.
    pub fn retrack(&mut self, params: &CodecParams) {
        let record = match params.codec {
            Codec::H264 => h264::Record::parse(&params.config).ok(),
            _ => None,
        };
        self.references = record.as_ref().and_then(h264::References::new);
        self.params = Some(params.clone());
    }

    /// Whether the next picture can be sent. Else it is left out: it would be shown before one that was sent, or it may refer to one
    /// that was left out.
    pub fn takes(&mut self, frame: &Frame) -> bool {
        let pts_us = frame.pts.as_micros();
        let in_order = frame.keyframe || self.shown_us.is_none_or(|shown_us| pts_us >= shown_us);
        self.is_missing &= !frame.keyframe;
        let references = self.references.as_mut();
        let whole = references.is_some_and(|references| references.picture(&frame.payload, in_order));
        if in_order && (whole || !self.is_missing) {
            self.shown_us = Some(pts_us);
            return true;
        }
        self.is_missing |= self.params.as_ref().is_none_or(|params| !is_discardable(params, &frame.payload));
        false
    }
}
