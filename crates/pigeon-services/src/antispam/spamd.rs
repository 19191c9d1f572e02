//! spamd of `SpamAssassin`: one connection for each message.
//!
//! Source: `SpamAssassin` 4.0, `spamd/PROTOCOL` (SPAMC/1.5): `SYMBOLS` answers the score and the rules, `TELL` learns.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::engine::{Class, Engine, Job, Learned, Problem, Report, line, pieces};
use super::settings::ServerAddress;

/// spamd's port.
pub(super) const PORT: u16 = 783;
/// More than any answer without the message has.
const MAX_ANSWER: u64 = 256 * 1024;

/// One spamd.
#[derive(Debug)]
pub(super) struct Spamd {
    address: ServerAddress,
    connecting: Duration,
}

/// What spamd answers: the number and word of its first line, the fields, and what follows them.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    code: u32,
    word: String,
    fields: Vec<(String, String)>,
    body: String,
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Spamd {
    pub(super) fn new(address: &ServerAddress, connecting: Duration) -> Self {
        Self { address: address.clone(), connecting }
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Problem> {
        let connecting = async {
            Ok::<Box<dyn Connection>, std::io::Error>(match &self.address {
                ServerAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
                ServerAddress::Tcp(text) => Box::new(TcpStream::connect(text.as_str()).await?),
                ServerAddress::Url(_) => {
                    let what = "spamd speaks no HTTP: write host:port or unix:/path in antispam.servers";
                    return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, what));
                }
            })
        };
        match tokio::time::timeout(self.connecting, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(Problem::of_server(format!("cannot be reached: {error}"))),
            Err(_) => Err(Problem::of_server("cannot be reached: no connection in time")),
        }
    }

    /// Sends the message behind the lines of `top`.
    async fn ask(
        &self,
        job: &Job,
        (command, top): (&str, &str),
        fields: &[(&str, &str)],
    ) -> Result<Answer, Problem> {
        let mut connection = self.connect().await?;
        let octets = job.message.size() + top.len() as u64;
        let mut request = format!("{command} SPAMC/1.5\r\nContent-length: {octets}\r\n");
        if let Some(learner) = &job.learner {
            request.extend(["User: ", &line(learner), "\r\n"]);
        }
        for (name, value) in fields {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.extend(["\r\n", top]);
        let sent = send(&mut connection, &request, job).await;
        let mut bytes = Vec::new();
        // A server that refuses says so before it has read all: its answer tells more than the broken pipe.
        let received = connection.take(MAX_ANSWER).read_to_end(&mut bytes).await;
        if bytes.is_empty() {
            let error = sent.and(received.map(drop)).err();
            let why = error.map_or_else(|| "closed the connection".to_owned(), |error| error.to_string());
            return Err(Problem::of_server(format!("gave no answer: {why}")));
        }
        parse(&String::from_utf8_lossy(&bytes))
    }
}

async fn send(connection: &mut Box<dyn Connection>, request: &str, job: &Job) -> std::io::Result<()> {
    connection.write_all(request.as_bytes()).await?;
    let mut pieces = std::pin::pin!(pieces(Arc::clone(&job.message)));
    while let Some(piece) = pieces.next().await {
        connection.write_all(&piece?).await?;
    }
    connection.flush().await
}

impl Engine for Spamd {
    fn scan<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Report, Problem>> {
        Box::pin(async move {
            // SpamAssassin takes the reverse-path for SPF and its rules from the header.
            let sender = format!("Return-Path: <{}>\n", line(&job.sender));
            report(&self.ask(job, ("SYMBOLS", &sender), &[]).await?)
        })
    }

    fn learn<'a>(&'a self, job: &'a Job, class: Class) -> BoxFuture<'a, Result<Learned, Problem>> {
        Box::pin(async move {
            let fields = [("Message-class", class.word()), ("Set", "local")];
            let answer = self.ask(job, ("TELL", ""), &fields).await?;
            answer.check("learns nothing by network: start it with --allow-tell")?;
            let did_set = answer.field("DidSet").is_some_and(|what| what.contains("local"));
            Ok(if did_set { Learned::New } else { Learned::Known })
        })
    }
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// sysexits: 69 is `EX_UNAVAILABLE`, what spamd says to services that it does not offer.
    fn check(&self, unavailable: &str) -> Result<(), Problem> {
        match self.code {
            0 => Ok(()),
            69 => Err(Problem::of_message(format!("{unavailable} ({})", self.word))),
            code => Err(Problem::of_server(format!("answered {code} {}", self.word))),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Answer, Problem> {
    let garbage = || {
        let start: String = text.lines().next().unwrap_or_default().chars().take(60).collect();
        Problem::of_server(format!("answered what spamd never says: {start:?}"))
    };
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let is_spamd = first.next().is_some_and(|version| version.starts_with("SPAMD/"));
    let code = first.next().and_then(|code| code.parse().ok()).filter(|_| is_spamd).ok_or_else(garbage)?;
    let word: String = first.next().unwrap_or_default().chars().take(200).collect();
    let field = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
    };
    let answer = Answer { code, word, fields: lines.filter_map(field).collect(), body: body.to_owned() };
    let announced = answer.field("Content-length").and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > body.len()) {
        return Err(Problem::of_server("broke off in the middle of its answer"));
    }
    Ok(answer)
}

/// `Spam: True ; 15.0 / 5.0`, and the names of the rules with commas.
pub(super) fn report(answer: &Answer) -> Result<Report, Problem> {
    answer.check("does not scan")?;
    let verdict = answer.field("Spam").unwrap_or_default();
    let score = verdict.split_once(';').and_then(|(_, numbers)| numbers.split('/').next());
    let score = score.and_then(|score| score.trim().parse::<f64>().ok()).filter(|score| score.is_finite());
    let score = score.ok_or_else(|| Problem::of_server("answered without a score"))?;
    let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let symbols = answer.body.split([',', '\r', '\n']).map(str::trim).filter(is_name).map(str::to_owned);
    Ok(Report { score, symbols: symbols.collect(), ..Report::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let check = |text: &str, expect: Result<(f64, &[&str]), &str>| {
            let found = parse(text).and_then(|answer| report(&answer));
            match (found, expect) {
                (Ok(report), Ok((score, symbols))) => {
                    assert!((report.score - score).abs() < 1e-9, "{text}: {report:?}");
                    assert_eq!(report.symbols, symbols, "{text}");
                }
                (Err(problem), Err(part)) => assert!(problem.what.contains(part), "{text}: {problem}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        let ok = "SPAMD/1.1 0 EX_OK\r\n";
        check(
            &format!("{ok}Content-length: 5\r\nSpam: True ; 1000.0 / 5.0\r\n\r\nGTUBE"),
            Ok((1000.0, &["GTUBE"])),
        );
        check(&format!("{ok}spam: False ; -1.9 / 5.0\r\n\r\nA,B\r\n"), Ok((-1.9, &["A", "B"])));
        check(&format!("{ok}Spam: Yes ; 7 / 5\r\n\r\n"), Ok((7.0, &[])));
        check(&format!("{ok}Content-length: 50\r\nSpam: True ; 9 / 5\r\n\r\nGT"), Err("broke off"));
        check(&format!("{ok}\r\n"), Err("without a score"));
        check(&format!("{ok}Spam: True ; nan / 5\r\n\r\n"), Err("without a score"));
        check("SPAMD/1.1 75 EX_TEMPFAIL\r\n\r\n", Err("answered 75 EX_TEMPFAIL"));
        check("SPAMD/1.1 69 Service Unavailable: TELL\r\n\r\n", Err("Service Unavailable"));
        check("HTTP/1.1 200 OK\r\n\r\n", Err("never says: \"HTTP/1.1 200 OK\""));
        check("SPAMD/1.1", Err("never says"));
        check("\u{fffd}\u{0}", Err("never says"));
    }
}
