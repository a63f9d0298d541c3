//! Looking at a connection's first bytes without taking them away.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What an HTTP/2 connection with prior knowledge begins with, as far as it tells (RFC 9113 §3.4): no method of HTTP/1
/// begins with it.
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// A connection that gives bytes already read once more.
#[derive(Debug)]
pub(crate) struct Sniffed<T> {
    head: Bytes,
    inner: T,
}

impl<T: AsyncRead + Unpin> Sniffed<T> {
    /// Reads until it is clear which version of HTTP the peer speaks; `true`: HTTP/2.
    pub(crate) async fn version(mut inner: T) -> io::Result<(Self, bool)> {
        let mut head = BytesMut::with_capacity(H2_PREFACE.len());
        loop {
            let known = head.len().min(H2_PREFACE.len());
            let is_h2 = head[..known] == H2_PREFACE[..known];
            if !is_h2 || known == H2_PREFACE.len() {
                return Ok((Self { head: head.freeze(), inner }, is_h2));
            }
            if inner.read_buf(&mut head).await? == 0 {
                return Ok((Self { head: head.freeze(), inner }, false));
            }
        }
    }

    /// The connection, and what was read and not given again.
    pub(crate) fn into_parts(self) -> (T, Bytes) {
        (self.inner, self.head)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Sniffed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let length = self.head.len().min(buf.remaining());
        buf.put_slice(&self.head[..length]);
        self.head.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Sniffed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn sniff(pieces: &[&[u8]]) -> (bool, Vec<u8>) {
        let (mut near, far) = tokio::io::duplex(64);
        let sniffing = Sniffed::version(far);
        let writing = async {
            for piece in pieces {
                near.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(near);
        };
        let (sniffed, ()) = tokio::join!(sniffing, writing);
        let (mut sniffed, is_h2) = sniffed.unwrap();
        let mut all = Vec::new();
        sniffed.read_to_end(&mut all).await.unwrap();
        (is_h2, all)
    }

    #[tokio::test]
    async fn the_preface_is_known_in_any_pieces_and_nothing_is_lost() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let single: Vec<&[u8]> = preface.chunks(1).collect();
        for pieces in [&single[..], &[&preface[..]], &[b"P", &preface[1..]]] {
            assert_eq!(sniff(pieces).await, (true, preface.to_vec()));
        }
        for request in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PUT / HTTP/1.1\r\n\r\n", b"PROPFIND", b"PRI", b""] {
            let single: Vec<&[u8]> = request.chunks(1).collect();
            assert_eq!(sniff(&single).await, (false, request.to_vec()));
            assert_eq!(sniff(&[request]).await, (false, request.to_vec()));
        }
    }
}
