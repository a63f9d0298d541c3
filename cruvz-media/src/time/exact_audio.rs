//! Exact times for the audio tracks of a stream whose protocol counts in milliseconds.

use super::AudioClock;
use crate::{CodecParams, Frame, Timescale, Track, TrackId, Tracks, codec};

/// Gives each audio track of an RTMP or FLV stream an [`AudioClock`]: its timescale becomes its sample rate and its
/// times exact. Other tracks pass as they are; audio packets that do not tell how long they are keep their own times.
///
/// One per connection, between the demuxer and the [`super::Timeline`]: pass on what [`Self::tracks`] makes of each
/// set of tracks, and each frame after [`Self::place`].
#[derive(Clone, Debug, Default)]
pub struct ExactAudio {
    tracks: Vec<Exact>,
}

#[derive(Clone, Debug)]
struct Exact {
    track: TrackId,
    params: CodecParams,
    rate: Timescale,
    clock: AudioClock,
}

impl ExactAudio {
    /// `tracks` with the timescales that frames will have. A track that is as it was keeps its count.
    pub fn tracks(&mut self, tracks: &Tracks) -> Tracks {
        let before = std::mem::take(&mut self.tracks);
        self.tracks = tracks.iter().filter_map(Exact::of).collect();
        for exact in &mut self.tracks {
            if let Some(same) = before.iter().find(|before| before.is_like(exact)) {
                exact.clock = same.clock.clone();
            }
        }
        let rate = |track: &Track| {
            let exact = self.tracks.iter().find(|exact| exact.track == track.id);
            exact.map_or(track.timescale, |exact| exact.rate)
        };
        Tracks::new(tracks.iter().map(|track| Track { timescale: rate(track), ..track.clone() }).collect())
    }

    /// Makes the times of an audio frame exact.
    pub fn place(&mut self, frame: &mut Frame) {
        let Some(exact) = self.tracks.iter_mut().find(|exact| exact.track == frame.track) else { return };
        frame.dts = match codec::samples(&exact.params, &frame.payload) {
            Some(samples) => exact.clock.place(frame.dts, samples),
            None => frame.dts.rescale(exact.rate),
        };
        frame.pts = frame.dts;
    }
}

impl Exact {
    fn of(track: &Track) -> Option<Self> {
        let rate = Timescale::new(track.params.audio()?.sample_rate_hz)?;
        Some(Self { track: track.id, params: track.params.clone(), rate, clock: AudioClock::new(rate) })
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.track, self.rate) == (other.track, other.rate)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{AudioFormat, Codec, Format, Timestamp};

    fn audio(codec: Codec, sample_rate_hz: u32, samples_per_frame: Option<u32>) -> Track {
        let format = Format::Audio(AudioFormat { sample_rate_hz, channels: 2, samples_per_frame });
        let params = CodecParams { codec, config: Bytes::new(), format, rfc6381: String::new() };
        Track { id: TrackId::AUDIO, timescale: Timescale::MILLIS, params }
    }

    fn at(millis: i64, payload: &'static [u8]) -> Frame {
        let at = Timestamp::from_millis(millis);
        Frame {
            track: TrackId::AUDIO,
            pts: at,
            dts: at,
            keyframe: true,
            payload: Bytes::from_static(payload),
        }
    }

    fn ticks(exact: &mut ExactAudio, millis: i64, payload: &'static [u8]) -> i64 {
        let mut frame = at(millis, payload);
        exact.place(&mut frame);
        assert_eq!(frame.pts, frame.dts);
        frame.dts.ticks()
    }

    #[test]
    fn audio_gets_its_sample_rate_as_timescale() {
        let mut exact = ExactAudio::default();
        let tracks = exact.tracks(&Tracks::new(vec![audio(Codec::Aac, 44_100, Some(1_024))]));
        assert_eq!(tracks[0].timescale.hz(), 44_100);
        let times: Vec<i64> = [0, 23, 46, 69, 92].map(|millis| ticks(&mut exact, millis, b"a")).into();
        assert_eq!(times, [0, 1_024, 2_048, 3_072, 4_096]);
    }

    #[test]
    fn opus_packets_say_how_long_they_are() {
        let mut exact = ExactAudio::default();
        exact.tracks(&Tracks::new(vec![audio(Codec::Opus, 48_000, None)]));
        // CELT frames of 20 and 2.5 ms (RFC 6716 §3.1).
        assert_eq!(ticks(&mut exact, 0, &[0x98]), 0);
        assert_eq!(ticks(&mut exact, 20, &[0x80]), 960);
        assert_eq!(ticks(&mut exact, 22, &[0x80]), 1_080);
        assert_eq!(ticks(&mut exact, 25, &[0x98]), 1_200);
        assert_eq!(ticks(&mut exact, 45, &[]), 2_160, "a packet that says nothing keeps its own time");
    }

    #[test]
    fn tracks_that_stay_keep_their_count_and_others_begin_anew() {
        let mut exact = ExactAudio::default();
        let aac = Tracks::new(vec![audio(Codec::Aac, 48_000, Some(1_024))]);
        exact.tracks(&aac);
        assert_eq!((ticks(&mut exact, 0, b"a"), ticks(&mut exact, 21, b"a")), (0, 1_024));
        exact.tracks(&aac);
        assert_eq!(ticks(&mut exact, 42, b"a"), 2_048);
        exact.tracks(&Tracks::new(vec![audio(Codec::Aac, 44_100, Some(1_024))]));
        assert_eq!(ticks(&mut exact, 64, b"a"), 2_822);
    }

    #[test]
    fn what_is_no_audio_is_left_alone() {
        let mut exact = ExactAudio::default();
        let data = Track { params: CodecParams::script_data(), ..audio(Codec::Aac, 1, None) };
        let tracks = Tracks::new(vec![data]);
        assert_eq!(exact.tracks(&tracks), tracks);
        assert_eq!(ticks(&mut exact, 21, b"a"), 21);
    }
}
