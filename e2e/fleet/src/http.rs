//! One plain HTTP request, to see an answer as it is on the wire and not as our own client reads it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long one answer may take: a hub answers in milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// The body of the answer to `GET path`.
///
/// # Errors
/// Nobody answers, or the answer is not 200.
pub async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> anyhow::Result<String> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n");
    let answer = tokio::time::timeout(LIMIT, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    });
    let answer = answer.await.with_context(|| format!("http://{address}{path} took too long"))?;
    let answer = answer.with_context(|| format!("http://{address}{path}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("http://{address}{path} answered half a head"))?;
    let status = head.lines().next().unwrap_or_default();
    anyhow::ensure!(status.starts_with("HTTP/1.1 200"), "http://{address}{path} answered {status}: {body}");
    anyhow::ensure!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "BUG: http://{address}{path} answered in chunks, which is not read here"
    );
    Ok(body.to_owned())
}
