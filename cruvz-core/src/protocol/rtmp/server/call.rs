//! The commands of a client, and the ones that need no decision of the driver.

use cruvz_media::amf0::Value;

use super::{Connected, Event, Pending, Phase, ServerConnection, Stream, Use};
use crate::protocol::rtmp::chunk::Message;
use crate::protocol::rtmp::command::{Command, code, status_object};
use crate::protocol::rtmp::{ConnectRequest, Error};

impl ServerConnection {
    pub(super) fn on_command(&mut self, message: &Message) -> Result<(), Error> {
        let command = match Command::parse(message) {
            Ok(command) => command,
            // Nothing that was granted ends for a command that cannot be read; it is counted.
            Err(_) if self.granted => return self.count_rejected(),
            Err(error) => return Err(error),
        };
        if matches!(self.phase, Phase::Connect) {
            return self.on_connect(command);
        }
        let stream_id = message.header.stream_id;
        match command.name.as_str() {
            "createStream" => self.on_create_stream(&command),
            "publish" => self.on_publish(stream_id, &command),
            "play" => self.on_play(stream_id, &command),
            "deleteStream" => {
                // The stream is named by an argument; the message itself comes on stream 0.
                let stream_id = command.argument(0).and_then(Value::as_u32).unwrap_or(stream_id);
                self.end_stream(stream_id, true);
                Ok(())
            }
            "closeStream" => {
                self.end_stream(stream_id, false);
                Ok(())
            }
            "pause" | "pauseRaw" => self.on_pause(stream_id, &command),
            "seek" => self.on_seek(stream_id, &command),
            "receiveAudio" | "receiveVideo" => self.on_receive(stream_id, &command),
            "FCPublish" | "FCUnpublish" | "FCSubscribe" => {
                self.on_fc(&command);
                Ok(())
            }
            "getStreamLength" => {
                // A live stream has none: 0 is what servers say of one.
                self.answer(&command, Value::Number(0.0));
                Ok(())
            }
            "releaseStream" | "_checkbw" | "checkBandwidth" | "setPeerInfo" => {
                self.answer(&command, Value::Undefined);
                Ok(())
            }
            // Answers to calls; we make none that needs one.
            "_result" | "_error" | "onStatus" => Ok(()),
            _ => self.reject_call(&command, "unknown command"),
        }
    }

    fn on_connect(&mut self, command: Command) -> Result<(), Error> {
        if command.name != "connect" {
            return Err(Error::CommandOutOfPlace(command.name));
        }
        self.pending = Some(Pending::Connect { transaction_id: command.transaction_id });
        let request = ConnectRequest::new(command);
        self.connected = Some(Box::new(Connected {
            app: request.app().into(),
            params: request.params().clone(),
            caps_ex: request.caps_ex(),
        }));
        self.events.push_back(Event::ConnectRequested(Box::new(request)));
        Ok(())
    }

    /// Gives out the lowest free stream id, so that a player's is 1 and shared media fits it.
    fn on_create_stream(&mut self, command: &Command) -> Result<(), Error> {
        let id = (1..=self.config.streams as u32).find(|id| self.use_of(*id).is_none());
        match id.filter(|_| self.streams.len() < self.config.streams) {
            Some(id) => {
                self.streams.push(Stream { id, used_for: Use::Idle });
                self.answer(command, Value::Number(id.into()));
                Ok(())
            }
            None => self.reject_call(command, "too many streams"),
        }
    }

    /// The use of the stream that a command is for. Some encoders publish without `createStream`, so an unknown
    /// stream comes into being where there is room.
    pub(super) fn stream_for(&mut self, stream_id: u32) -> Option<Use> {
        if self.use_of(stream_id).is_none() && self.streams.len() < self.config.streams {
            self.streams.push(Stream { id: stream_id, used_for: Use::Idle });
        }
        self.use_of(stream_id)
    }

    /// Ends what a stream is used for, and the stream itself where it is `deleted`.
    fn end_stream(&mut self, stream_id: u32, deleted: bool) {
        let Some(index) = self.streams.iter().position(|stream| stream.id == stream_id) else { return };
        let stream = Stream { ..self.streams[index] };
        match stream.used_for {
            Use::Idle => {}
            Use::Publish => {
                self.send_status(stream_id, code::UNPUBLISH_SUCCESS, "Stream is now unpublished.")
            }
            Use::Play => self.send_status(stream_id, code::PLAY_STOP, "Stopped playing."),
        }
        self.stop(&stream);
        self.set_use(stream_id, Use::Idle);
        if deleted {
            self.streams.swap_remove(index);
        }
    }

    /// The calls of Flash Media Live Encoder around `publish`, which others copied: a result, and the callback
    /// that some encoders wait for.
    fn on_fc(&mut self, command: &Command) {
        self.answer(command, Value::Undefined);
        let (callback, code) = match command.name.as_str() {
            "FCPublish" => ("onFCPublish", code::PUBLISH_START),
            "FCUnpublish" => ("onFCUnpublish", code::UNPUBLISH_SUCCESS),
            _ => ("onFCSubscribe", code::PLAY_START),
        };
        let status = status_object(code, "");
        self.link.send_command(0, &Command::new(callback, 0.0, vec![Value::Null, status.into()]));
    }

    /// Answers a call with one value.
    fn answer(&mut self, command: &Command, value: Value) {
        self.link.send_answer("_result", command.transaction_id, vec![Value::Null, value]);
    }

    /// Answers a call with an error and counts it.
    pub(super) fn reject_call(&mut self, command: &Command, reason: &str) -> Result<(), Error> {
        let status = status_object(code::CALL_FAILED, reason);
        self.link.send_answer("_error", command.transaction_id, vec![Value::Null, status.into()]);
        self.count_rejected()
    }

    pub(super) fn count_rejected(&mut self) -> Result<(), Error> {
        self.rejected_commands = self.rejected_commands.saturating_add(1);
        match self.rejected_commands > self.config.rejected_commands && !self.granted {
            true => Err(Error::TooManyRejectedCommands(self.config.rejected_commands)),
            false => Ok(()),
        }
    }
}
