//! Pulling from another RTMP(S) server.

use std::sync::Arc;

use cruvz_media::Tracks;

use crate::{
    Error, ErrorKind, Protocol, Role,
    ingest::flv::Feed,
    protocol::rtmp::{ClientConfig, ClientEvent, Url, client::Role as ClientRole},
    runtime::{
        remote::{Job, RemoteState},
        rtmp_client::RtmpClient,
    },
};

/// One connection: plays there, publishes here, until one of them ends.
pub(crate) async fn attempt(job: Arc<Job<Url>>) -> Result<(), Error> {
    let context = &job.context;
    let (mut client, _) = RtmpClient::start(&job, ClientRole::Play, ClientConfig::default()).await?;
    let protocol = if job.url.is_tls() { Protocol::Rtmps } else { Protocol::Rtmp };
    let session = context.gate.sessions.open(&job.stream, protocol, Role::Pull, Some(client.addr))?;
    let mut feed = Feed::new(context.hub.publish(Tracks::empty(), session)?);
    job.set(RemoteState::Running);
    let ended = receive(&mut client, &mut feed).await;
    let reason = ended.as_ref().map_or_else(ToString::to_string, |()| "the server ended it".to_owned());
    feed.publisher.session_mut().because(reason);
    ended
}

async fn receive(client: &mut RtmpClient, feed: &mut Feed) -> Result<(), Error> {
    let session = Arc::clone(feed.publisher.session());
    loop {
        while let Some(event) = client.rtmp.poll_event() {
            match event {
                ClientEvent::Message(message) => feed.append(message)?,
                ClientEvent::Ended(_) => return Ok(()),
                ClientEvent::ReconnectRequested { .. } => {
                    return Err(Error::new(ErrorKind::Unavailable, "the server asks to connect anew"));
                }
                _ => {}
            }
        }
        feed.publisher.flush();
        client.send().await?;
        tokio::select! {
            received = client.receive() => received?,
            reason = session.wait_end() => return Err(Error::new(ErrorKind::Closed, &*reason)),
        }
    }
}
