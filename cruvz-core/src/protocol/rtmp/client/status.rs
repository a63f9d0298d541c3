//! What the server says to a client.

use cruvz_media::amf0::Value;

use super::{ClientConnection, ClientEvent, Phase, transaction};
use crate::protocol::rtmp::command::Command;
use crate::protocol::rtmp::message::UserControl;
use crate::protocol::rtmp::{Error, Status, code};

impl ClientConnection {
    pub(super) fn on_command(&mut self, command: &Command) -> Result<(), Error> {
        match command.name.as_str() {
            "_result" => self.on_result(command),
            "_error" => {
                self.on_error(command);
                Ok(())
            }
            "onStatus" => {
                self.on_status(command);
                Ok(())
            }
            "close" => {
                self.finish(Status { code: code::CONNECT_CLOSED.into(), ..Status::from_value(None) });
                Ok(())
            }
            // `onBWDone`, `onFCPublish` and the like need no answer.
            _ => Ok(()),
        }
    }

    fn on_result(&mut self, command: &Command) -> Result<(), Error> {
        match (&self.phase, command.transaction_id) {
            (Phase::Connect, transaction::CONNECT) => {
                self.create_stream();
                Ok(())
            }
            (Phase::Create, transaction::CREATE_STREAM) => {
                let stream_id = command.argument(0).and_then(Value::as_u32);
                let unexpected = || Error::UnexpectedAnswer("createStream without a stream id".into());
                self.request(stream_id.ok_or_else(unexpected)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Only the calls that everything depends on may fail us; `releaseStream` and the like often do fail.
    fn on_error(&mut self, command: &Command) {
        let fatal = match self.phase {
            Phase::Connect => command.transaction_id == transaction::CONNECT,
            Phase::Create => command.transaction_id == transaction::CREATE_STREAM,
            // Some servers refuse with transaction 0, as the status they should send would have.
            Phase::Start => [transaction::START, 0.0].contains(&command.transaction_id),
            _ => false,
        };
        if fatal {
            self.finish(Status::from_value(command.argument(0)));
        }
    }

    fn on_status(&mut self, command: &Command) {
        let object = command.argument(0);
        let status = Status::from_value(object);
        match status.code.as_str() {
            code::PUBLISH_START | code::PLAY_START if matches!(self.phase, Phase::Start) => self.start(),
            code::CONNECT_RECONNECT_REQUEST => {
                let tc_url = object.and_then(|object| object.property("tcUrl")).and_then(Value::as_str);
                self.events.push_back(ClientEvent::ReconnectRequested {
                    tc_url: tc_url.map(str::to_owned),
                    description: status.description,
                });
            }
            code::PLAY_UNPUBLISH_NOTIFY
            | code::PLAY_STOP
            | code::PLAY_COMPLETE
            | code::UNPUBLISH_SUCCESS
            | code::CONNECT_CLOSED => self.finish(status),
            // A seek that fails, say, is no end; what starts with these words is.
            _ if status.level == "error" && !status.code.starts_with("NetStream.Seek") => self.finish(status),
            _ => {}
        }
    }

    pub(super) fn on_user_control(&mut self, event: UserControl) {
        if event == UserControl::StreamEof(self.stream_id) && matches!(self.phase, Phase::Started) {
            let status = Status::from_value(None);
            self.finish(Status { level: "status".into(), code: code::PLAY_STOP.into(), ..status });
        }
    }

    /// The server is done with us, before or after the start.
    fn finish(&mut self, status: Status) {
        let event = match self.phase {
            Phase::Started => ClientEvent::Ended(status),
            _ => ClientEvent::Rejected(status),
        };
        self.events.push_back(event);
        self.phase = Phase::Closing;
    }
}
