//! Audio in the codecs that an egress carries, made once per stream and egress, while somebody watches.
//!
//! With the feature `transcode` FFmpeg makes it (`cruvz_media::transcode`). Without, a track that an egress has no room for is
//! left out, and said to be.

#[cfg(feature = "transcode")]
use cruvz_media::transcode::{AudioOptions, AudioTranscoder};
use cruvz_media::{Codec, Frame, Track, TrackId, TrackKind, Tracks};

use crate::{
    config::EgressConfig,
    hub::view::{AudioSet, Convert, LeftOut},
};

impl AudioSet {
    /// WebRTC: browsers play Opus, and nothing else that anybody publishes (RFC 7874 §3).
    pub(crate) const WEBRTC: Self = set("webrtc", &[Codec::Opus], &[], Codec::Opus);
    /// RTMP and FLV: AAC and MP3 are what players know; Enhanced RTMP has FourCCs for more.
    pub(crate) const FLV: Self = set(
        "flv",
        &[Codec::Aac, Codec::Mp3],
        &[Codec::Ac3, Codec::Eac3, Codec::Flac, Codec::Opus],
        Codec::Aac,
    );
    /// MPEG-TS, over SRT and HTTP: what receivers of broadcasts know. Opus has a mapping that FFmpeg and VLC read.
    pub(crate) const TS: Self =
        set("mpegts", &[Codec::Aac, Codec::Ac3, Codec::Eac3, Codec::Mp3], &[Codec::Opus], Codec::Aac);
}

const fn set(
    name: &'static str,
    plays: &'static [Codec],
    carries: &'static [Codec],
    into: Codec,
) -> AudioSet {
    let convert = |wanted, egress: &EgressConfig| -> Box<dyn Convert> {
        Box::new(Transcode { wanted, bitrate_bps: egress.audio_bitrate_bps, lanes: Vec::new() })
    };
    AudioSet { name, plays, carries, into, makes: cfg!(feature = "transcode"), convert }
}

/// Makes the audio of a stream into what `wanted` takes.
struct Transcode {
    wanted: AudioSet,
    bitrate_bps: u32,
    lanes: Vec<Lane>,
}

/// What happens to one track.
struct Lane {
    source: Track,
    fate: Fate,
}

enum Fate {
    Kept,
    Made(Box<AudioTranscoder>),
    LeftOut(String),
}

impl Convert for Transcode {
    fn tracks(&mut self, source: &Tracks) -> (Tracks, Vec<LeftOut>) {
        let mut before = std::mem::take(&mut self.lanes);
        for track in source.iter() {
            // One that goes on as it was goes on with what its encoder knows.
            let same = before.iter().position(|lane| lane.source == *track);
            let fate = match same.map(|at| before.swap_remove(at).fate) {
                Some(fate @ Fate::Made(_)) => fate,
                _ => self.fate(track),
            };
            self.lanes.push(Lane { source: track.clone(), fate });
        }
        let tracks = self.lanes.iter().filter_map(Lane::track).collect();
        let left_out = self.lanes.iter().filter_map(|lane| lane.left_out(self.wanted.name)).collect();
        (Tracks::new(tracks), left_out)
    }

    fn is_work(&self, frame: &Frame) -> bool {
        matches!(self.lane(frame.track).map(|lane| &lane.fate), Some(Fate::Made(_)))
    }

    fn frame(&mut self, frame: Frame, out: &mut Vec<Frame>) -> Result<(), String> {
        let lane = self.lanes.iter_mut().find(|lane| lane.source.id == frame.track);
        match lane.map(|lane| &mut lane.fate) {
            Some(Fate::Kept) => out.push(frame),
            Some(Fate::Made(transcoder)) => {
                out.extend(transcoder.push(&frame).map_err(|error| error.to_string())?);
            }
            Some(Fate::LeftOut(_)) | None => {}
        }
        Ok(())
    }
}

impl Transcode {
    fn lane(&self, track: TrackId) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.source.id == track)
    }

    fn fate(&self, track: &Track) -> Fate {
        let codec = track.params.codec;
        if track.kind() != TrackKind::Audio || self.wanted.takes(codec) {
            return Fate::Kept;
        }
        match self.make(track) {
            Ok(transcoder) => Fate::Made(Box::new(transcoder)),
            Err(_) if self.wanted.carries.contains(&codec) => Fate::Kept,
            Err(reason) => Fate::LeftOut(reason),
        }
    }

    fn make(&self, track: &Track) -> Result<AudioTranscoder, String> {
        if cfg!(feature = "transcode") && !self.wanted.makes {
            return Err("transcoding is turned off".to_owned());
        }
        // A publisher may bring many, and each would cost a hundredth of a core.
        if self.lanes.iter().any(|lane| matches!(lane.fate, Fate::Made(_))) {
            return Err("only the first audio track is transcoded".to_owned());
        }
        let options = AudioOptions::new(self.bitrate_bps);
        AudioTranscoder::new(&track.params, self.wanted.into, options).map_err(|error| error.to_string())
    }
}

impl Lane {
    /// What the view has in its place.
    fn track(&self) -> Option<Track> {
        match &self.fate {
            Fate::Kept => Some(self.source.clone()),
            Fate::Made(transcoder) => Some(Track { id: self.source.id, ..transcoder.track().clone() }),
            Fate::LeftOut(_) => None,
        }
    }

    fn left_out(&self, by: &'static str) -> Option<LeftOut> {
        let Fate::LeftOut(reason) = &self.fate else { return None };
        let (track, codec) = (self.source.id.0, self.source.params.codec.name());
        Some(LeftOut { track, codec, by, reason: reason.clone() })
    }
}

/// What stands in for FFmpeg in a build without it: there is no transcoder, so nothing of one can be called.
#[cfg(not(feature = "transcode"))]
mod absent {
    use cruvz_media::{Codec, CodecParams, Frame, Track};

    pub(super) struct AudioOptions;

    impl AudioOptions {
        pub(super) fn new(_: u32) -> Self {
            Self
        }
    }

    pub(super) enum AudioTranscoder {}

    impl AudioTranscoder {
        pub(super) fn new(from: &CodecParams, to: Codec, _: AudioOptions) -> Result<Self, String> {
            Err(format!("{} is not made into {to}: this build has no transcoding", from.codec))
        }

        pub(super) fn push(&mut self, _: &Frame) -> Result<Vec<Frame>, String> {
            match *self {}
        }

        pub(super) fn track(&self) -> &Track {
            match *self {}
        }
    }
}
#[cfg(not(feature = "transcode"))]
use absent::{AudioOptions, AudioTranscoder};

#[cfg(test)]
mod tests {
    use std::fs::File;

    use cruvz_media::container::file::{Limits, Reader};

    use super::*;
    #[cfg(not(feature = "transcode"))]
    use crate::Event;
    use crate::{Engine, Publisher, hub::view::View};

    /// A publisher and the frames of a file that it has written.
    async fn published(file: &str) -> (Engine, Publisher) {
        let path = format!("{}/../cruvz-media/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        let mut reader = Reader::open(File::open(path).unwrap(), Limits::default()).unwrap();
        let engine = Engine::builder().start().await.unwrap();
        let mut publisher =
            engine.publish("live/cam".parse().unwrap(), reader.tracks().clone()).await.unwrap();
        while let Some(frame) = reader.next_frame().unwrap() {
            publisher.write(frame).unwrap();
        }
        (engine, publisher)
    }

    fn audio(view: &View) -> Option<Codec> {
        view.tracks().first(TrackKind::Audio).map(|track| track.params.codec)
    }

    #[tokio::test]
    async fn what_players_know_stays_as_it_is() {
        let (_engine, publisher) = published("flv/h264_aac.flv").await;
        for wanted in [AudioSet::FLV, AudioSet::TS] {
            assert!(publisher.stream().view(wanted).same(publisher.stream()), "{wanted:?}");
        }
    }

    #[cfg(not(feature = "transcode"))]
    #[tokio::test]
    async fn without_ffmpeg_a_track_stays_where_there_is_room_for_it_and_is_left_out_where_not() {
        let (_engine, publisher) = published("flv/av1_opus.flv").await;
        assert!(publisher.stream().view(AudioSet::FLV).same(publisher.stream()));
        let (engine, publisher) = published("flv/h264_aac.flv").await;
        let mut events = engine.events();
        let view = publisher.stream().view(AudioSet::WEBRTC);
        assert_eq!((view.tracks().len(), audio(&view)), (publisher.tracks().len() - 1, None));
        let Some(Event::TrackUnplayable { codec, by, reason, .. }) = events.next().await else {
            panic!("another event")
        };
        assert_eq!((codec, by), ("AAC", "webrtc"));
        assert_eq!(reason, "AAC is not made into Opus: this build has no transcoding");
        assert_eq!(publisher.stream().info().left_out.len(), 1);
    }

    #[cfg(feature = "transcode")]
    #[tokio::test]
    async fn aac_is_made_into_opus_for_browsers_and_opus_into_aac_for_players() {
        for (file, wanted, codec) in [
            ("flv/h264_aac.flv", AudioSet::WEBRTC, Codec::Opus),
            ("flv/av1_opus.flv", AudioSet::FLV, Codec::Aac),
            ("flv/hevc_flac.flv", AudioSet::TS, Codec::Aac),
        ] {
            let (engine, publisher) = published(file).await;
            let stream = publisher.stream().clone();
            let source: Vec<_> = engine.stream_infos()[0].tracks.iter().map(|track| track.id).collect();
            let view = stream.view(wanted);
            assert_eq!(audio(&view), Some(codec), "{file}");
            assert_eq!(view.tracks().iter().map(|track| track.id.0).collect::<Vec<_>>(), source);
            let mut cursor = view.cursor();
            let (mut sound, mut pictures) = (Vec::new(), 0);
            assert!(stream.info().left_out.is_empty());
            stream.end("the show is over");
            while let Some(entry) = cursor.next_entry().await {
                match entry.tracks.by_id(entry.frame.track).unwrap().kind() {
                    TrackKind::Audio => sound.push(entry.frame),
                    _ => pictures += 1,
                }
            }
            assert!(pictures > 0 && sound.len() > 3, "{file}: {} of sound", sound.len());
            let step = if codec == Codec::Opus { 960 } else { 1024 };
            for pair in sound.windows(2) {
                assert_eq!(pair[1].dts.ticks() - pair[0].dts.ticks(), step, "{file}");
            }
        }
    }

    #[cfg(feature = "transcode")]
    #[tokio::test]
    async fn only_one_track_is_made_and_the_others_stay_where_there_is_room() {
        let (_engine, publisher) = published("flv/av1_opus.flv").await;
        let stream = publisher.stream();
        let opus = stream.tracks().first(TrackKind::Audio).unwrap().clone();
        let more: Vec<_> =
            (0..3).map(|n| Track { id: TrackId(opus.id.0 + 10 * n), ..opus.clone() }).collect();
        let mut transcode = Transcode { wanted: AudioSet::FLV, bitrate_bps: 128_000, lanes: Vec::new() };
        let (tracks, left_out) = transcode.tracks(&Tracks::new(more));
        let codecs: Vec<_> = tracks.iter().map(|track| track.params.codec).collect();
        assert_eq!((codecs, left_out.len()), (vec![Codec::Aac, Codec::Opus, Codec::Opus], 0));
    }
}
