//! Commands, the remote calls in AMF0 (RTMP 1.0 §7.2).

use bytes::{Bytes, BytesMut};
use cruvz_media::amf0::{self, Value};

use super::Error;
use super::chunk::Message;
use super::message::kind;

/// Bounds on the AMF0 of a command. A `connect` with every Enhanced RTMP field has about 60 values.
const LIMITS: amf0::Limits =
    amf0::Limits { depth: 16, values: 1_024, string_bytes: 16 << 10, total_bytes: 256 << 10 };

/// One command: a name, the number that its answer must repeat, and arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) name: String,
    /// 0 where no answer is wanted.
    pub(super) transaction_id: f64,
    /// What follows: first the command object, often null, then the call's own arguments.
    pub(super) values: Vec<Value>,
}

impl Command {
    pub(super) fn new(name: &str, transaction_id: f64, values: Vec<Value>) -> Self {
        Self { name: name.into(), transaction_id, values }
    }

    /// Whether a message carries a command, in AMF0 or in what passes for AMF3.
    pub(super) const fn is_in(message: &Message) -> bool {
        matches!(message.header.kind, kind::COMMAND | kind::COMMAND_AMF3)
    }

    /// The command in a message of kind [`kind::COMMAND`] or [`kind::COMMAND_AMF3`].
    ///
    /// A name that is no string makes an empty name; a missing transaction id counts as 0. Both are then refused
    /// as an unknown command, or served, as the name says.
    pub(super) fn parse(message: &Message) -> Result<Self, Error> {
        let payload = match (message.header.kind, &message.payload[..]) {
            (kind::COMMAND_AMF3, [0, rest @ ..]) => rest,
            (_, payload) => payload,
        };
        let mut values = amf0::decode(payload, &LIMITS)?.into_iter();
        let name = match values.next() {
            Some(Value::String(name)) => name,
            _ => String::new(),
        };
        let transaction_id = values.next().and_then(|value| value.as_f64()).unwrap_or(0.0);
        Ok(Self { name, transaction_id, values: values.collect() })
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        Value::from(self.name.as_str()).encode(&mut out);
        Value::Number(self.transaction_id).encode(&mut out);
        amf0::encode(&self.values, &mut out);
        out.freeze()
    }

    /// The argument at `index`, not counting the command object.
    pub(super) fn argument(&self, index: usize) -> Option<&Value> {
        self.values.get(index + 1)
    }

    /// The text argument at `index`; empty where there is none.
    pub(super) fn text(&self, index: usize) -> &str {
        self.argument(index).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn number(&self, index: usize) -> Option<f64> {
        self.argument(index).and_then(Value::as_f64)
    }
}

/// What `onStatus` and the answers to calls carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `status`, `warning` or `error`.
    pub level: String,
    /// As in [`code`].
    pub code: String,
    /// Free text for people.
    pub description: String,
}

impl Status {
    /// The status in an information object; what is missing is empty.
    pub(super) fn from_value(value: Option<&Value>) -> Self {
        let text = |name| {
            let text = value.and_then(|value| value.property(name)).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        Self { level: text("level"), code: text("code"), description: text("description") }
    }
}

/// An information object with the level that belongs to `code`.
pub(super) fn status_object(code: &str, description: &str) -> amf0::Object {
    let level = if code::is_error(code) { "error" } else { "status" };
    amf0::Object::new().with("level", level).with("code", code).with("description", description)
}

/// Status codes, as Flash Media Server named them and peers compare them.
pub mod code {
    /// The connection is accepted.
    pub const CONNECT_SUCCESS: &str = "NetConnection.Connect.Success";
    /// The connection is refused.
    pub const CONNECT_REJECTED: &str = "NetConnection.Connect.Rejected";
    /// There is no such application.
    pub const CONNECT_INVALID_APP: &str = "NetConnection.Connect.InvalidApp";
    /// The server ends the connection.
    pub const CONNECT_CLOSED: &str = "NetConnection.Connect.Closed";
    /// The client should connect anew, perhaps elsewhere (E-RTMP v2, "Reconnect Request").
    pub const CONNECT_RECONNECT_REQUEST: &str = "NetConnection.Connect.ReconnectRequest";
    /// A call failed or is unknown.
    pub const CALL_FAILED: &str = "NetConnection.Call.Failed";
    /// Publishing may begin.
    pub const PUBLISH_START: &str = "NetStream.Publish.Start";
    /// The name is taken or not allowed.
    pub const PUBLISH_BAD_NAME: &str = "NetStream.Publish.BadName";
    /// The publisher is not allowed to.
    pub const PUBLISH_DENIED: &str = "NetStream.Publish.Denied";
    /// Publishing has ended as asked.
    pub const UNPUBLISH_SUCCESS: &str = "NetStream.Unpublish.Success";
    /// The playlist was emptied before playing.
    pub const PLAY_RESET: &str = "NetStream.Play.Reset";
    /// Playing begins.
    pub const PLAY_START: &str = "NetStream.Play.Start";
    /// Playing has ended.
    pub const PLAY_STOP: &str = "NetStream.Play.Stop";
    /// Everything has been played.
    pub const PLAY_COMPLETE: &str = "NetStream.Play.Complete";
    /// Playing is not allowed or not possible.
    pub const PLAY_FAILED: &str = "NetStream.Play.Failed";
    /// There is no such stream.
    pub const PLAY_STREAM_NOT_FOUND: &str = "NetStream.Play.StreamNotFound";
    /// A publisher has come for the stream being played.
    pub const PLAY_PUBLISH_NOTIFY: &str = "NetStream.Play.PublishNotify";
    /// The publisher of the stream being played has gone.
    pub const PLAY_UNPUBLISH_NOTIFY: &str = "NetStream.Play.UnpublishNotify";
    /// Playing is paused.
    pub const PAUSE_NOTIFY: &str = "NetStream.Pause.Notify";
    /// Playing goes on.
    pub const UNPAUSE_NOTIFY: &str = "NetStream.Unpause.Notify";
    /// Playing goes on from another place.
    pub const SEEK_NOTIFY: &str = "NetStream.Seek.Notify";
    /// Live streams do not seek.
    pub const SEEK_FAILED: &str = "NetStream.Seek.Failed";

    /// Whether `code` tells of a failure, which decides the level it is sent with.
    pub fn is_error(code: &str) -> bool {
        const ENDINGS: [&str; 8] = [
            "Failed",
            "Rejected",
            "InvalidApp",
            "AppShutdown",
            "BadName",
            "Denied",
            "StreamNotFound",
            "NoSupportedTrackFound",
        ];
        code.rsplit('.').next().is_some_and(|ending| ENDINGS.contains(&ending))
    }
}
