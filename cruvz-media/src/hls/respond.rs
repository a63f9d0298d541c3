//! Answers to requests. Nothing here changes the packager: viewers only look.

use std::time::Duration;

use super::{
    Packager,
    name::Name,
    playlist::{Header, reports},
    request::{Directives, Reply, Request, Response, Wait},
    segment::Segment,
};

impl Packager {
    /// Answers a request, or says how long it may wait.
    pub fn respond(&self, request: &Request<'_>) -> Reply {
        match Name::parse(request.path, &self.config) {
            Some(Name::Multivariant) => self.multivariant(),
            Some(Name::Playlist) => self.playlist(request),
            Some(Name::Init(number)) => self.found(
                self.window
                    .init(number)
                    .map(|(body, content_type)| Response::media(content_type, vec![body.clone()])),
            ),
            Some(Name::Segment(msn)) => self.found(self.window.segment(msn).map(|segment| {
                Response::media(self.window.content_type(segment.init), vec![segment.body.clone()])
            })),
            Some(Name::Part(msn, part)) => self.part(msn, part),
            None => self.found(None),
        }
    }

    fn found(&self, response: Option<Response>) -> Reply {
        Reply::Ready(response.unwrap_or_else(Response::not_found))
    }

    fn multivariant(&self) -> Reply {
        if self.header.is_none() {
            return self.not_started();
        }
        Reply::Ready(Response::playlist(vec![self.rendered.multivariant.clone()], false))
    }

    fn playlist(&self, request: &Request<'_>) -> Reply {
        // Directives are for those who were told of them.
        let directives = match Directives::parse(if self.config.low_latency { request.query } else { "" }) {
            Ok(directives) => directives,
            Err(reason) => return Reply::Ready(Response::bad_request(reason)),
        };
        let Some(header) = self.header else { return self.not_started() };
        if let Some(msn) = directives.msn
            && !self.finished
        {
            if self.is_too_far(msn, directives.part, header) {
                return Reply::Ready(Response::bad_request("_HLS_msn or _HLS_part is too far ahead\n"));
            }
            if !self.lists(msn, directives.part) {
                let longest = self.longest_wait(header);
                return Reply::Wait(Wait {
                    longest,
                    expired: Response::unavailable("the stream stands still\n"),
                });
            }
        }
        let playlist = if directives.skip { &self.rendered.delta } else { &self.rendered.full };
        let mut body = vec![playlist.clone()];
        if !request.siblings.is_empty() {
            body.push(reports(request.siblings).into());
        }
        Reply::Ready(Response::playlist(body, directives.msn.is_some()))
    }

    /// Whether what is asked for lies beyond the Advance Part Limit or two segments (bis §6.2.5.2).
    fn is_too_far(&self, msn: u64, part: Option<u64>, header: Header) -> bool {
        let filling = self.window.filling_msn();
        let advance = (3_000 / u64::from(header.part_target_ms)).max(3);
        let parts = self.window.filling_parts() as u64;
        msn > filling.saturating_add(1)
            || (msn == filling && part.is_some_and(|part| part >= parts + advance))
    }

    /// Whether the playlist has got as far as segment `msn`, or `part` of it. A part beyond a segment's last is the
    /// first of the next segment.
    fn lists(&self, msn: u64, part: Option<u64>) -> bool {
        let filling = self.window.filling_msn();
        let filling_parts = self.window.filling_parts() as u64;
        match part {
            None => msn < filling,
            Some(part) if msn == filling => part < filling_parts,
            Some(_) if msn > filling => false,
            Some(part) => {
                let beyond = |last: &Segment| last.msn == msn && part >= last.parts.len() as u64;
                !self.window.last().is_some_and(beyond) || filling_parts > 0
            }
        }
    }

    fn part(&self, msn: u64, number: u32) -> Reply {
        if let Some(part) = self.window.part(msn, number) {
            let init =
                self.window.segment(msn).or(self.window.open.as_ref()).map_or(0, |segment| segment.init);
            return Reply::Ready(Response::media(self.window.content_type(init), part.body.clone()));
        }
        let hinted = (self.window.filling_msn(), self.window.filling_parts() as u64) == (msn, number.into());
        match self.header {
            Some(header) if hinted && !self.finished => {
                Reply::Wait(Wait { longest: self.longest_wait(header), expired: Response::not_found() })
            }
            _ => self.found(None),
        }
    }

    fn not_started(&self) -> Reply {
        let expired = Response::unavailable("the stream has not started\n");
        if self.finished {
            return Reply::Ready(Response::not_found());
        }
        Reply::Wait(Wait { longest: self.config.start_wait(), expired })
    }

    /// Three target durations: what bis §6.2.5.2 recommends before a 503.
    fn longest_wait(&self, header: Header) -> Duration {
        Duration::from_secs(u64::from(header.target_duration_s) * 3)
    }
}
