//! One connection that asks again and again, as a host or a forge does.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// HTTP/1.1, as little of it as is needed here.
pub(super) struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
    /// How often it had to connect.
    pub(super) opened: usize,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, answer: Vec::new(), opened: 0 }
    }

    /// Sends a whole request; status and body of what comes back. A connection that the server closed
    /// while nothing was said is opened again.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        let kept = self.stream.take().filter(|stream| !is_closed(stream));
        let again = kept.is_some();
        let mut done = self.try_ask(kept, request).await;
        if done.is_err() && again && self.answer.is_empty() {
            done = self.try_ask(None, request).await;
        }
        let (status, head) = done?;
        Ok((status, &self.answer[head..]))
    }

    async fn try_ask(&mut self, kept: Option<TcpStream>, request: &[u8]) -> Result<(u16, usize)> {
        self.answer.clear();
        let stream = match kept {
            Some(stream) => stream,
            None => {
                self.opened += 1;
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let late = |_| Error::from(ErrorKind::TimedOut);
        write(&stream, request).await?;
        let done = timeout(PATIENCE, read(&stream, &mut self.answer)).await.map_err(late)??;
        self.stream = Some(stream);
        Ok(done)
    }
}

fn is_closed(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Status, and where the body begins.
async fn read(stream: &TcpStream, answer: &mut Vec<u8>) -> Result<(u16, usize)> {
    let mut part = [0; 4096];
    loop {
        if let Some((status, head, length)) = parse(answer)
            && answer.len() >= head + length
        {
            return Ok((status, head));
        }
        match stream.try_read(&mut part) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.readable().await?,
            Err(error) => return Err(error),
        }
    }
}

/// Status, length of the header and of the body, once the header is there.
fn parse(answer: &[u8]) -> Option<(u16, usize, usize)> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((status, end + 4, length.unwrap_or(0)))
}
