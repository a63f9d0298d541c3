//! The `connect` command (RTMP 1.0 §7.2.1.1) with the fields of Enhanced RTMP v2.

use std::fmt;

use cruvz_media::amf0::{Object, Value};

use super::command::Command;
use super::{Params, name};

/// Bits of `capsEx` (E-RTMP v2, "Enhancing NetConnection connect Command").
pub mod caps_ex {
    /// Understands a reconnect request.
    pub const RECONNECT: u32 = 0x01;
    /// Understands multitrack audio and video.
    pub const MULTITRACK: u32 = 0x02;
    /// Understands ModEx packets.
    pub const MOD_EX: u32 = 0x04;
    /// Understands the nanosecond part of timestamps in ModEx packets.
    pub const TIMESTAMP_NANO_OFFSET: u32 = 0x08;
}

/// What one side of a connection can do, as Enhanced RTMP v2 lets it say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Codecs by FourCC, for `fourCcList` and the info maps. `*` stands for all.
    pub four_ccs: Vec<String>,
    /// Bits of [`caps_ex`].
    pub caps_ex: u32,
}

impl Default for Capabilities {
    /// The codecs that Enhanced RTMP v2 names and that our FLV code reads, multitrack and ModEx.
    fn default() -> Self {
        let four_ccs =
            ["av01", "vp09", "vp08", "hvc1", "avc1", "Opus", "fLaC", "ac-3", "ec-3", ".mp3", "mp4a"];
        Self { four_ccs: four_ccs.map(String::from).to_vec(), caps_ex: caps_ex::MULTITRACK | caps_ex::MOD_EX }
    }
}

/// `CanDecode | CanEncode | CanForward` of `FourCcInfoMask`: what the info maps say of each codec is that we
/// forward it.
const CAN_FORWARD: f64 = 4.0;
/// The FourCCs that belong in `videoFourCcInfoMap`; the others are audio.
const VIDEO_FOUR_CCS: [&str; 7] = ["av01", "vp09", "vp08", "hvc1", "avc1", "vvc1", "*"];

impl Capabilities {
    /// Adds the fields to a `connect` object or to the answer to one.
    pub(super) fn add_to(&self, object: &mut Object) {
        let map = |video: bool| -> Object {
            let four_ccs = self.four_ccs.iter().map(String::as_str);
            let chosen =
                four_ccs.filter(|four_cc| *four_cc == "*" || VIDEO_FOUR_CCS.contains(four_cc) == video);
            chosen.map(|four_cc| (four_cc, CAN_FORWARD)).collect()
        };
        let list = self.four_ccs.iter().map(|four_cc| Value::from(four_cc.as_str())).collect();
        object.set("fourCcList", Value::StrictArray(list));
        object.set("videoFourCcInfoMap", Value::Object(map(true)));
        object.set("audioFourCcInfoMap", Value::Object(map(false)));
        object.set("capsEx", f64::from(self.caps_ex));
    }
}

/// A client's `connect`, kept whole.
///
/// `Debug` leaves out the values, which may hold tokens.
#[derive(Clone, PartialEq)]
pub struct ConnectRequest {
    app: String,
    params: Params,
    object: Object,
    arguments: Vec<Value>,
}

impl ConnectRequest {
    pub(super) fn new(command: Command) -> Self {
        let mut values = command.values.into_iter();
        let object = match values.next() {
            Some(Value::Object(object) | Value::EcmaArray(object)) => object,
            _ => Object::new(),
        };
        let mut params = Params::default();
        let app = object.get("app").and_then(Value::as_str).unwrap_or_default();
        let app = name::split(app, &mut params);
        Self { app, params, object, arguments: values.collect() }
    }

    /// The application, with its instance if it has one: `live`, `live/room`. Without query and outer slashes.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The query behind the application.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The URL that the client was given, as far as the application.
    pub fn tc_url(&self) -> Option<&str> {
        self.text("tcUrl")
    }

    /// What the client says it is, such as `FMLE/3.0 (compatible; FMSc/1.0)`.
    pub fn flash_ver(&self) -> Option<&str> {
        self.text("flashVer").or_else(|| self.text("flashver"))
    }

    /// The FourCCs of the codecs that the client understands beyond those of FLV; `*` stands for all.
    pub fn four_cc_list(&self) -> impl Iterator<Item = &str> {
        let list = self.object.get("fourCcList").and_then(Value::as_array).unwrap_or_default();
        list.iter().filter_map(Value::as_str)
    }

    /// Whether the client understands the codec, as `fourCcList` or one of the info maps says.
    pub fn understands(&self, four_cc: &str) -> bool {
        let in_map = |map| {
            let map = self.object.get(map).and_then(Value::as_object);
            map.is_some_and(|map| map.get(four_cc).or_else(|| map.get("*")).is_some())
        };
        self.four_cc_list().any(|listed| listed == "*" || listed == four_cc)
            || in_map("videoFourCcInfoMap")
            || in_map("audioFourCcInfoMap")
    }

    /// The bits of [`caps_ex`] that the client has; 0 where it does not say.
    pub fn caps_ex(&self) -> u32 {
        self.object.get("capsEx").and_then(Value::as_u32).unwrap_or(0)
    }

    /// All properties of the command object, as they came.
    pub const fn object(&self) -> &Object {
        &self.object
    }

    /// What came after the command object.
    pub fn arguments(&self) -> &[Value] {
        &self.arguments
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.object.get(name).and_then(Value::as_str)
    }
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("app", &self.app)
            .field("params", &self.params)
            .field("flash_ver", &self.flash_ver())
            .finish_non_exhaustive()
    }
}
