//! Publishing: the request, its decision.

use super::{Event, Pending, PublishMode, PublishRequest, ServerConnection, Use};
use crate::protocol::rtmp::Error;
use crate::protocol::rtmp::command::{Command, code};
use crate::protocol::rtmp::message::UserControl;
use crate::protocol::rtmp::{Params, name};

impl ServerConnection {
    pub(super) fn on_publish(&mut self, stream_id: u32, command: &Command) -> Result<(), Error> {
        let mut params = Params::default();
        let name = name::split(command.text(0), &mut params);
        match self.stream_for(stream_id) {
            Some(Use::Idle) if !name.is_empty() => {}
            Some(Use::Idle) => {
                self.send_status(stream_id, code::PUBLISH_BAD_NAME, "no stream name");
                return self.count_rejected();
            }
            Some(_) => {
                self.send_status(stream_id, code::PUBLISH_BAD_NAME, "the message stream is in use");
                return self.count_rejected();
            }
            None => return self.reject_call(command, "too many streams"),
        }
        let mode = match command.text(1) {
            "record" => PublishMode::Record,
            "append" => PublishMode::Append,
            _ => PublishMode::Live,
        };
        let app = self.app_and_params(&mut params);
        self.idle_since = None;
        self.pending = Some(Pending::Publish { stream_id });
        let request = PublishRequest { stream_id, app, name, params, mode };
        self.events.push_back(Event::PublishRequested(Box::new(request)));
        Ok(())
    }

    /// Lets the peer publish what it last asked for; does nothing where no such request waits.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), for what came in the meantime.
    pub fn accept_publish(&mut self) -> Result<(), Error> {
        let Some(Pending::Publish { stream_id }) = self.pending else { return Ok(()) };
        self.granted = true;
        self.set_use(stream_id, Use::Publish);
        self.link.send_user_control(UserControl::StreamBegin(stream_id));
        self.send_status(stream_id, code::PUBLISH_START, "Started publishing stream.");
        self.resume()
    }

    /// Refuses what the peer last asked to publish, with a code such as [`code::PUBLISH_BAD_NAME`]. The
    /// connection goes on: the peer may try another name. To close it too, call [`end`](Self::end) after.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), for what came in the meantime, and when too much was refused already.
    pub fn reject_publish(&mut self, code: &str, description: &str) -> Result<(), Error> {
        let Some(Pending::Publish { stream_id }) = self.pending else { return Ok(()) };
        self.send_refusal(stream_id, code, description);
        let counted = self.count_rejected();
        self.give_up_on(counted)?;
        self.resume()
    }

    /// The application, its parameters added to those of the name.
    pub(super) fn app_and_params(&self, params: &mut Params) -> String {
        let Some(connected) = &self.connected else { return String::new() };
        params.add(&connected.params);
        connected.app.to_string()
    }
}
