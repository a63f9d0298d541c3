//! Tracks in the codecs that an egress carries, made once per stream and egress, while somebody watches.
//!
//! With the feature `transcode` FFmpeg makes them. Without, a track that an egress has no room for is left out, and said to be.

use cruvz_media::{Codec, Frame, Timestamp, Track, TrackKind, Tracks};

use super::transcoder::Transcoder;
use crate::{
    config::EgressConfig,
    hub::{
        registry::{HubContext, Place, Places},
        view::{CodecSet, Convert, LeftOut, Notes, Plan, TrackSet, Transcoded, Verdict},
    },
};

/// All that anybody publishes.
const AUDIO: &[Codec] = &[Codec::Aac, Codec::Ac3, Codec::Eac3, Codec::Flac, Codec::Mp3, Codec::Opus];
const VIDEO: &[Codec] = &[Codec::Av1, Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9];

impl TrackSet {
    /// WebRTC: browsers play Opus, and nothing else that anybody publishes (RFC 7874 §3). They show pictures as they come.
    pub(crate) const WEBRTC: Self = Self {
        name: "webrtc",
        audio: set(&[Codec::Opus], &[], Codec::Opus),
        video: CodecSet { in_order: true, ..set(VIDEO, &[], Codec::H264) },
        convert,
    };
    /// RTMP and FLV: AAC and MP3 are what players know; Enhanced RTMP has FourCCs for more.
    pub(crate) const FLV: Self = Self {
        name: "flv",
        audio: set(
            &[Codec::Aac, Codec::Mp3],
            &[Codec::Ac3, Codec::Eac3, Codec::Flac, Codec::Opus],
            Codec::Aac,
        ),
        video: set(VIDEO, &[], Codec::H264),
        convert,
    };
    /// MPEG-TS, over SRT and HTTP: what receivers of broadcasts know. Opus has a mapping that FFmpeg and VLC read.
    pub(crate) const TS: Self = Self {
        name: "mpegts",
        audio: set(&[Codec::Aac, Codec::Ac3, Codec::Eac3, Codec::Mp3], &[Codec::Opus], Codec::Aac),
        video: set(&[Codec::H264, Codec::H265], &[], Codec::H264),
        convert,
    };
    /// HLS: what fragmented MP4 has a place for, which is all but VP8.
    pub(crate) const HLS: Self = Self {
        name: "hls",
        audio: set(AUDIO, &[], Codec::Aac),
        video: set(&[Codec::Av1, Codec::H264, Codec::H265, Codec::Vp9], &[], Codec::H264),
        convert,
    };
}

const fn set(plays: &'static [Codec], carries: &'static [Codec], into: Codec) -> CodecSet {
    CodecSet { plays, carries, in_order: false, into, makes: cfg!(feature = "transcode") }
}

fn convert(wanted: TrackSet, hub: &HubContext) -> Box<dyn Convert> {
    let (egress, places) = (hub.egress.clone(), hub.video_places.clone());
    Box::new(Transcode { wanted, egress, places, lanes: Vec::new() })
}

/// Makes the tracks of a stream into what `wanted` takes.
struct Transcode {
    wanted: TrackSet,
    egress: EgressConfig,
    /// How many of all streams may be made at once.
    places: Places,
    lanes: Vec<Lane>,
}

/// What happens to one track.
struct Lane {
    source: Track,
    fate: Fate,
}

enum Fate {
    Kept,
    /// Kept until a picture is shown before one that came earlier, and then to the next keyframe.
    Watched {
        newest: Option<Timestamp>,
        reordered: bool,
    },
    /// `made`: what the view was told of it last.
    Made {
        transcoder: Box<Transcoder>,
        made: Track,
        reason: &'static str,
        _place: Option<Place>,
    },
    LeftOut(String),
}

impl Convert for Transcode {
    fn tracks(&mut self, source: &Tracks) -> Plan {
        let mut before = std::mem::take(&mut self.lanes);
        // What ends makes room for what begins.
        before.retain(|lane| source.contains(&lane.source));
        for track in source.iter() {
            // One that goes on as it was goes on with what its encoder knows.
            let same = before.iter().position(|lane| lane.source == *track);
            let fate = match same.map(|at| before.swap_remove(at).fate) {
                Some(fate @ (Fate::Made { .. } | Fate::Watched { .. })) => fate,
                _ => self.fate(track),
            };
            self.lanes.push(Lane { source: track.clone(), fate });
        }
        self.plan()
    }

    fn is_work(&self, frame: &Frame) -> bool {
        match self.lanes.iter().find(|lane| lane.source.id == frame.track).map(|lane| &lane.fate) {
            Some(Fate::Made { .. }) => true,
            Some(Fate::Watched { reordered, .. }) => *reordered && frame.keyframe,
            Some(Fate::Kept | Fate::LeftOut(_)) | None => false,
        }
    }

    fn frame(&mut self, frame: Frame, late: bool, out: &mut Vec<Frame>) -> Result<Option<Plan>, String> {
        let Some(at) = self.lanes.iter().position(|lane| lane.source.id == frame.track) else {
            return Ok(None);
        };
        if self.lanes[at].must_be_made_from(&frame) {
            let source = self.lanes[at].source.clone();
            self.lanes[at].fate = self.make_or_leave(&source, Verdict::Reordered);
            self.lanes[at].push(frame, late, out)?;
            return Ok(Some(self.plan()));
        }
        let changed = self.lanes[at].push(frame, late, out)?;
        Ok(changed.then(|| self.plan()))
    }
}

impl Transcode {
    fn plan(&self) -> Plan {
        let by = self.wanted.name;
        let tracks = self.lanes.iter().filter_map(Lane::track).collect();
        let left_out = self.lanes.iter().filter_map(|lane| lane.left_out(by)).collect();
        let transcoded = self.lanes.iter().filter_map(|lane| lane.transcoded(by)).collect();
        Plan { tracks: Tracks::new(tracks), notes: Notes { left_out, transcoded } }
    }

    fn fate(&self, track: &Track) -> Fate {
        match self.wanted.verdict(track) {
            Verdict::Fits => Fate::Kept,
            Verdict::PerhapsReordered => Fate::Watched { newest: None, reordered: false },
            verdict @ (Verdict::OtherCodec | Verdict::Reordered) => self.make_or_leave(track, verdict),
        }
    }

    /// What cannot be made stays where the egress has room for it.
    fn make_or_leave(&self, track: &Track, verdict: Verdict) -> Fate {
        let codec = track.params.codec;
        let has_room = |set: &CodecSet| set.plays.contains(&codec) || set.carries.contains(&codec);
        match self.make(track) {
            Ok((transcoder, place)) => {
                let made = Track { id: track.id, ..transcoder.track().clone() };
                let reason = if verdict == Verdict::Reordered { Transcoded::REORDERED } else { "codec" };
                Fate::Made { transcoder: Box::new(transcoder), made, reason, _place: place }
            }
            Err(_) if self.wanted.of(track.kind()).is_none_or(has_room) => Fate::Kept,
            Err(reason) => Fate::LeftOut(reason),
        }
    }

    fn make(&self, track: &Track) -> Result<(Transcoder, Option<Place>), String> {
        let set = self.wanted.of(track.kind()).ok_or("there is no transcoding of data")?;
        if cfg!(feature = "transcode") && !set.makes {
            return Err("transcoding is turned off".to_owned());
        }
        // A publisher may bring many, and each would cost a hundredth of a core, or a whole one.
        let same =
            |lane: &&Lane| matches!(lane.fate, Fate::Made { .. }) && lane.source.kind() == track.kind();
        if self.lanes.iter().find(same).is_some_and(|lane| lane.source.id != track.id) {
            let kind = if track.kind() == TrackKind::Audio { "audio" } else { "video" };
            return Err(format!("only the first {kind} track is transcoded"));
        }
        let place = (track.kind() == TrackKind::Video).then(|| self.places.take()).transpose()?;
        Ok((Transcoder::new(track, set.into, &self.egress)?, place))
    }
}

impl Lane {
    /// Whether it was watched long enough: pictures came out of order, and with `frame` another beginning can be made.
    fn must_be_made_from(&self, frame: &Frame) -> bool {
        matches!(self.fate, Fate::Watched { reordered: true, .. }) && frame.keyframe
    }

    /// Whether it comes as another track from now on.
    fn push(&mut self, frame: Frame, late: bool, out: &mut Vec<Frame>) -> Result<bool, String> {
        match &mut self.fate {
            Fate::Kept => out.push(frame),
            Fate::Watched { newest, reordered } => {
                *reordered |= newest.is_some_and(|newest| frame.pts < newest);
                *newest = (*newest).max(Some(frame.pts));
                out.push(frame);
            }
            Fate::Made { transcoder, made, .. } => {
                out.extend(transcoder.push(&frame, late)?);
                let now = transcoder.track();
                if now.params != made.params {
                    made.params.clone_from(&now.params);
                    return Ok(true);
                }
            }
            Fate::LeftOut(_) => {}
        }
        Ok(false)
    }

    /// What the view has in its place.
    fn track(&self) -> Option<Track> {
        match &self.fate {
            Fate::Kept | Fate::Watched { .. } => Some(self.source.clone()),
            Fate::Made { made, .. } => Some(made.clone()),
            Fate::LeftOut(_) => None,
        }
    }

    fn left_out(&self, by: &'static str) -> Option<LeftOut> {
        let Fate::LeftOut(reason) = &self.fate else { return None };
        let (track, codec) = (self.source.id.0, self.source.params.codec.name());
        Some(LeftOut { track, codec, by, reason: reason.clone() })
    }

    fn transcoded(&self, by: &'static str) -> Option<Transcoded> {
        let Fate::Made { made, reason, .. } = &self.fate else { return None };
        let (track, codec) = (self.source.id.0, self.source.params.codec.name());
        Some(Transcoded { track, codec, into: made.params.codec.name(), by, reason })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    #[cfg(feature = "transcode")]
    use cruvz_media::TrackId;
    use cruvz_media::container::file::{Limits, Reader};

    use super::*;
    use crate::{Engine, Event, Publisher, hub::view::View};

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
        for wanted in [TrackSet::FLV, TrackSet::TS] {
            assert!(publisher.stream().view(wanted).same(publisher.stream()), "{wanted:?}");
        }
    }

    #[cfg(not(feature = "transcode"))]
    #[tokio::test]
    async fn without_ffmpeg_a_track_stays_where_there_is_room_for_it_and_is_left_out_where_not() {
        let (_engine, publisher) = published("flv/av1_opus.flv").await;
        assert!(publisher.stream().view(TrackSet::FLV).same(publisher.stream()));
        let (engine, publisher) = published("flv/h264_aac.flv").await;
        let mut events = engine.events();
        let view = publisher.stream().view(TrackSet::WEBRTC);
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
            ("flv/h264_aac.flv", TrackSet::WEBRTC, Codec::Opus),
            ("flv/av1_opus.flv", TrackSet::FLV, Codec::Aac),
            ("flv/hevc_flac.flv", TrackSet::TS, Codec::Aac),
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
        let egress = EgressConfig::default();
        let mut transcode =
            Transcode { wanted: TrackSet::FLV, egress, places: Places::new(1), lanes: Vec::new() };
        let Plan { tracks, notes } = transcode.tracks(&Tracks::new(more));
        let codecs: Vec<_> = tracks.iter().map(|track| track.params.codec).collect();
        assert_eq!((codecs, notes.left_out.len()), (vec![Codec::Aac, Codec::Opus, Codec::Opus], 0));
    }

    #[cfg(feature = "transcode")]
    #[tokio::test]
    async fn pictures_out_of_order_are_put_in_order_for_browsers_and_that_is_told() {
        let (engine, publisher) = published("flv/h264_aac.flv").await;
        let mut events = engine.events();
        let stream = publisher.stream().clone();
        let (mut untouched, view) = (stream.view(TrackSet::FLV).cursor(), stream.view(TrackSet::WEBRTC));
        let event = events.next().await;
        assert!(matches!(event, Some(Event::PicturesReordered { transcoded: true, .. })), "{event:?}");
        let [audio, video] = &stream.info().transcoded[..] else { panic!("{:?}", stream.info()) };
        let (video, audio) = if video.reason == "reordered" { (video, audio) } else { (audio, video) };
        assert_eq!((video.codec, video.into, video.by), ("H.264", "H.264", "webrtc"));
        assert_eq!((audio.codec, audio.into, audio.reason), ("AAC", "Opus", "codec"));
        let made = shown(&mut view.cursor(), &stream).await;
        let mut expected = shown(&mut untouched, &stream).await;
        assert!(!expected.is_sorted());
        expected.sort();
        // The last two are still awaited by the decoder when the stream ends.
        assert_eq!(made, expected[..made.len()]);
        assert!(made.len() + 3 > expected.len(), "{} of {}", made.len(), expected.len());
    }

    /// When the pictures of a stream that ends now are shown, in the order they come.
    #[cfg(feature = "transcode")]
    async fn shown(cursor: &mut crate::Subscriber, stream: &crate::LiveStream) -> Vec<Timestamp> {
        stream.end("the show is over");
        let mut shown = Vec::new();
        while let Some(entry) = cursor.next_entry().await {
            if entry.tracks.by_id(entry.frame.track).unwrap().kind() == TrackKind::Video {
                shown.push(entry.frame.pts);
            }
        }
        shown
    }

    #[cfg(feature = "transcode")]
    #[tokio::test]
    async fn video_that_receivers_of_broadcasts_do_not_know_is_made_into_h264() {
        for file in ["flv/vp9_ac3.flv", "flv/av1_opus.flv"] {
            let (_engine, publisher) = published(file).await;
            let stream = publisher.stream().clone();
            assert!(stream.view(TrackSet::HLS).same(&stream), "{file}");
            let view = stream.view(TrackSet::TS);
            assert_eq!(view.tracks().first(TrackKind::Video).unwrap().params.codec, Codec::H264);
            assert!(!shown(&mut view.cursor(), &stream).await.is_empty(), "{file}");
        }
    }

    #[cfg(not(feature = "transcode"))]
    #[tokio::test]
    async fn without_ffmpeg_video_that_has_no_room_is_left_out_in_words() {
        let (engine, publisher) = published("flv/vp9_ac3.flv").await;
        let mut events = engine.events();
        let view = publisher.stream().view(TrackSet::TS);
        assert!(view.tracks().first(TrackKind::Video).is_none());
        let Some(Event::TrackUnplayable { codec, by, reason, .. }) = events.next().await else {
            panic!("another event")
        };
        assert_eq!((codec, by), ("VP9", "mpegts"));
        assert_eq!(reason, "VP9 is not made into H.264: this build has no transcoding");
    }

    /// A source that does not say whether it has B-frames is watched until it shows some.
    #[cfg(feature = "transcode")]
    #[tokio::test]
    async fn pictures_that_turn_out_to_be_out_of_order_are_made_from_the_next_keyframe_on() {
        let path = format!("{}/../cruvz-media/tests/fixtures/flv/h264_aac.flv", env!("CARGO_MANIFEST_DIR"));
        let mut reader = Reader::open(File::open(path).unwrap(), Limits::default()).unwrap();
        let mut track = reader.tracks().first(TrackKind::Video).unwrap().clone();
        if let cruvz_media::Format::Video(video) = &mut track.params.format {
            video.reorder_depth = None;
        }
        let (wanted, egress) = (TrackSet::WEBRTC, EgressConfig::default());
        let mut transcode = Transcode { wanted, egress, places: Places::new(1), lanes: Vec::new() };
        let plan = transcode.tracks(&Tracks::new(vec![track.clone()]));
        assert_eq!(*plan.tracks, [track.clone()]);
        let (mut plans, mut kept, mut made) = (Vec::new(), 0, Vec::new());
        while let Some(frame) = reader.next_frame().unwrap() {
            if frame.track != track.id {
                continue;
            }
            let mut out = Vec::new();
            plans.extend(transcode.frame(frame, false, &mut out).unwrap());
            if plans.is_empty() { kept += out.len() } else { made.extend(out) }
        }
        let [plan] = &plans[..] else { panic!("{plans:?}") };
        assert_eq!(plan.notes.transcoded[0].reason, Transcoded::REORDERED);
        assert_eq!((kept, made[0].keyframe), (5, true));
        assert!(made.is_sorted_by_key(|frame| frame.pts));
    }

    #[cfg(feature = "transcode")]
    #[tokio::test]
    async fn beyond_the_limit_a_stream_is_what_it_would_be_without_and_a_place_is_free_again() {
        let (_engine, publisher) = published("flv/vp9_ac3.flv").await;
        let source = publisher.stream().tracks();
        let places = Places::new(1);
        let another = || Transcode {
            wanted: TrackSet::TS,
            egress: EgressConfig::default(),
            places: places.clone(),
            lanes: Vec::new(),
        };
        let (mut first, mut second) = (another(), another());
        assert_eq!(first.tracks(&source).notes.transcoded.len(), 1);
        let Plan { tracks, notes } = second.tracks(&source);
        assert!(tracks.first(TrackKind::Video).is_none());
        assert_eq!(notes.left_out[0].reason, "transcoding video of 1 streams is allowed, and done");
        drop(first);
        assert_eq!(second.tracks(&source).notes.transcoded.len(), 1);
    }
}
