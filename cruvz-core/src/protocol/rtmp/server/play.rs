//! Playing: the request, its decision, and what a player may ask for later.

use cruvz_media::amf0::Value;

use super::{Event, Pending, PlayRequest, ServerConnection, Use};
use crate::protocol::rtmp::command::{Command, code, status_object};
use crate::protocol::rtmp::message::{SAMPLE_ACCESS, UserControl};
use crate::protocol::rtmp::{Error, MediaKind};
use crate::protocol::rtmp::{Params, name};

impl ServerConnection {
    pub(super) fn on_play(&mut self, stream_id: u32, command: &Command) -> Result<(), Error> {
        let mut params = Params::default();
        let name = name::split(command.text(0), &mut params);
        match self.stream_for(stream_id) {
            Some(Use::Idle) if !name.is_empty() => {}
            Some(Use::Idle) => {
                self.send_status(stream_id, code::PLAY_STREAM_NOT_FOUND, "no stream name");
                return self.count_rejected();
            }
            Some(_) => {
                self.send_status(stream_id, code::PLAY_FAILED, "the message stream is in use");
                return self.count_rejected();
            }
            None => return self.reject_call(command, "too many streams"),
        }
        // §7.2.2.1: reset is a boolean, or a number in some players; left out it means to reset.
        let reset = match command.argument(3) {
            Some(Value::Boolean(reset)) => *reset,
            Some(Value::Number(reset)) => *reset != 0.0,
            _ => true,
        };
        let app = self.app_and_params(&mut params);
        // ffmpeg writes its milliseconds here: -2000 is its way to say -2.
        let start_s = command.number(1).unwrap_or(-2.0).max(-2.0);
        let duration_s = command.number(2).unwrap_or(-1.0).max(-1.0);
        self.idle_since = None;
        self.pending = Some(Pending::Play { stream_id, reset });
        let request = PlayRequest { stream_id, app, name, params, start_s, duration_s };
        self.events.push_back(Event::PlayRequested(Box::new(request)));
        Ok(())
    }

    /// Lets the peer play what it last asked for; does nothing where no such request waits. Media may follow at
    /// once, after what [`poll_transmit`](Self::poll_transmit) gives.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), for what came in the meantime.
    pub fn accept_play(&mut self) -> Result<(), Error> {
        let Some(Pending::Play { stream_id, reset }) = self.pending else { return Ok(()) };
        self.granted = true;
        self.set_use(stream_id, Use::Play);
        self.link.send_user_control(UserControl::StreamBegin(stream_id));
        if reset {
            self.send_status(stream_id, code::PLAY_RESET, "Playing and resetting stream.");
        }
        self.send_status(stream_id, code::PLAY_START, "Started playing stream.");
        self.send_sample_access(stream_id);
        self.resume()
    }

    /// Refuses what the peer last asked to play, with a code such as [`code::PLAY_STREAM_NOT_FOUND`]. The
    /// connection goes on: the peer may try another name. To close it too, call [`end`](Self::end) after.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), for what came in the meantime, and when too much was refused already.
    pub fn reject_play(&mut self, code: &str, description: &str) -> Result<(), Error> {
        let Some(Pending::Play { stream_id, .. }) = self.pending else { return Ok(()) };
        self.send_refusal(stream_id, code, description);
        let counted = self.count_rejected();
        self.give_up_on(counted)?;
        self.resume()
    }

    /// A status that is an error whatever its code.
    pub(super) fn send_refusal(&mut self, stream_id: u32, code: &str, description: &str) {
        self.send_status_object(stream_id, status_object(code, description).with("level", "error"));
    }

    /// Lets Flash players read pixels and samples: two times true. They expect it before the first frame.
    fn send_sample_access(&mut self, stream_id: u32) {
        let parts = [SAMPLE_ACCESS, b"\x01\x01\x01\x01"];
        let sent = self.link.send_media(&MediaKind::Data.header(0, stream_id), &parts);
        debug_assert_eq!(sent, Ok(()), "a few bytes always fit");
    }

    pub(super) fn on_pause(&mut self, stream_id: u32, command: &Command) -> Result<(), Error> {
        let paused = command.argument(0).and_then(Value::as_bool);
        let (Some(Use::Play), Some(paused)) = (self.use_of(stream_id), paused) else {
            return self.reject_call(command, "nothing to pause");
        };
        let (code, description) = match paused {
            true => (code::PAUSE_NOTIFY, "Paused stream."),
            false => (code::UNPAUSE_NOTIFY, "Unpaused stream."),
        };
        self.send_status(stream_id, code, description);
        self.events.push_back(Event::Paused { stream_id, paused });
        Ok(())
    }

    pub(super) fn on_seek(&mut self, stream_id: u32, command: &Command) -> Result<(), Error> {
        if self.use_of(stream_id) != Some(Use::Play) {
            return self.reject_call(command, "nothing to seek in");
        }
        self.send_status(stream_id, code::SEEK_FAILED, "a live stream does not seek");
        self.count_rejected()
    }

    /// `receiveAudio` and `receiveVideo` (§7.2.2.4, §7.2.2.5): switching on is answered as a seek to now.
    pub(super) fn on_receive(&mut self, stream_id: u32, command: &Command) -> Result<(), Error> {
        let wanted = command.argument(0).and_then(Value::as_bool);
        let (Some(Use::Play), Some(wanted)) = (self.use_of(stream_id), wanted) else {
            return self.reject_call(command, "nothing to receive");
        };
        let kind = if command.name == "receiveAudio" { MediaKind::Audio } else { MediaKind::Video };
        if wanted {
            self.send_status(stream_id, code::SEEK_NOTIFY, "Seeking to now.");
            self.send_status(stream_id, code::PLAY_START, "Started playing stream.");
        }
        self.events.push_back(Event::Wanted { stream_id, kind, wanted });
        Ok(())
    }
}
