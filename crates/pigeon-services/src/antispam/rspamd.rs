//! rspamd over HTTP.
//!
//! Source: rspamd's protocol documentation (`/checkv2`, `/learnham`, `/learnspam`) and its `milter` block.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Client, StatusCode};
use serde_json::Value;

use super::engine::{Class, Engine, Job, Learned, Problem, Report, line, pieces};
use super::settings::ServerAddress;

/// The port of rspamd's normal worker.
pub(super) const PORT: u16 = 11_333;
/// The port of its controller, which learns.
pub(super) const CONTROLLER_PORT: u16 = 11_334;
/// More than any answer has.
const MAX_ANSWER: usize = 1 << 20;
/// So many recipients are named at most: more would be more header than rspamd takes.
const MAX_RECIPIENTS: usize = 100;

/// One rspamd.
#[derive(Debug)]
pub(super) struct Rspamd {
    address: ServerAddress,
    connecting: Duration,
    password: String,
    client: OnceLock<Client>,
}

impl Rspamd {
    pub(super) fn new(address: &ServerAddress, connecting: Duration, password: &str) -> Self {
        let password = password.to_owned();
        Self { address: address.clone(), connecting, password, client: OnceLock::new() }
    }

    /// Made when it is first needed: most one-shot deliveries need none.
    fn client(&self) -> Result<Client, Problem> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let mut builder = Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connecting)
            // A kept connection may be one that rspamd has closed meanwhile, and a body is sent only once.
            .pool_max_idle_per_host(0);
        let is_secure = matches!(&self.address, ServerAddress::Url(url) if url.starts_with("https:"));
        if !is_secure {
            // Reading the system's certificates would cost the first scan some milliseconds.
            builder = builder.tls_certs_only([]);
        }
        if let ServerAddress::Unix(path) = &self.address {
            builder = builder.unix_socket(path.as_path());
        }
        let client = builder.build().map_err(|error| Problem::of_server(explained(error)))?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn url(&self, path: &str) -> String {
        match &self.address {
            ServerAddress::Unix(_) => format!("http://localhost{path}"),
            ServerAddress::Tcp(host) => format!("http://{host}{path}"),
            ServerAddress::Url(url) => format!("{url}{path}"),
        }
    }

    async fn post(
        &self,
        job: &Job,
        path: &str,
        headers: HeaderMap,
    ) -> Result<(StatusCode, Vec<u8>), Problem> {
        let request = self.client()?.post(self.url(path)).headers(headers);
        // The length is known: with it the body is not sent in chunks.
        let request = request.header(CONTENT_LENGTH, job.message.size());
        let body = Body::wrap_stream(pieces(Arc::clone(&job.message)));
        let mut response =
            request.body(body).send().await.map_err(|error| Problem::of_server(explained(error)))?;
        let mut answer = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => return Ok((response.status(), answer)),
                Ok(Some(piece)) if answer.len() + piece.len() <= MAX_ANSWER => {
                    answer.extend_from_slice(&piece);
                }
                Ok(Some(_)) => return Err(Problem::of_server("answered without an end")),
                Err(error) => {
                    return Err(Problem::of_server(format!("broke off its answer: {}", explained(error))));
                }
            }
        }
    }
}

/// The error and what caused it, without the URL, which the address names already.
fn explained(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.extend([": ", &inner.to_string()]);
        cause = inner.source();
    }
    text
}

impl Engine for Rspamd {
    fn scan<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Report, Problem>> {
        Box::pin(async move {
            let (status, answer) = self.post(job, "/checkv2", envelope(job)).await?;
            if !status.is_success() {
                return Err(refused(status, &answer));
            }
            report(&answer)
        })
    }

    fn learn<'a>(&'a self, job: &'a Job, class: Class) -> BoxFuture<'a, Result<Learned, Problem>> {
        Box::pin(async move {
            let mut headers = envelope(job);
            put(&mut headers, "password", &self.password);
            let path = match class {
                Class::Ham => "/learnham",
                Class::Spam => "/learnspam",
            };
            let (status, answer) = self.post(job, path, headers).await?;
            match status.as_u16() {
                200 => Ok(Learned::New),
                // It says so in words, with 404 in some versions and 208 or 204 in others.
                204 | 208 => Ok(Learned::Known),
                404 if String::from_utf8_lossy(&answer).contains("already learned") => Ok(Learned::Known),
                401 | 403 => Err(Problem::of_message(
                    "refuses the password: set antispam.learn_password to that of rspamd's controller",
                )),
                _ => Err(refused(status, &answer)),
            }
        })
    }
}

/// What rspamd wants to know beside the message. `User` is left out: it means a client that has logged in, whose mail
/// rspamd judges by other rules. For whom was learned is said with `Deliver-To`.
fn envelope(job: &Job) -> HeaderMap {
    let mut headers = HeaderMap::new();
    put(&mut headers, "from", &format!("<{}>", job.sender));
    for recipient in job.recipients.iter().take(MAX_RECIPIENTS) {
        put(&mut headers, "rcpt", recipient);
    }
    if let Some(learner) = &job.learner {
        put(&mut headers, "deliver-to", learner);
    }
    if let Some(client) = &job.client {
        put(&mut headers, "ip", &client.address.to_string());
        put(&mut headers, "helo", client.helo.as_deref().unwrap_or_default());
        put(&mut headers, "hostname", client.name.as_deref().unwrap_or_default());
    }
    put(&mut headers, "queue-id", job.queue_id.as_deref().unwrap_or_default());
    put(&mut headers, "mta-name", &job.hostname);
    headers
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(line(value).as_bytes())
        && !value.is_empty()
    {
        headers.append(HeaderName::from_static(name), value);
    }
}

/// rspamd says what is wrong as `{"error": "…"}`.
fn refused(status: StatusCode, answer: &[u8]) -> Problem {
    let said: Option<Value> = serde_json::from_slice(answer).ok();
    let error = said.as_ref().and_then(|said| said.get("error")).and_then(Value::as_str).unwrap_or_default();
    let what = format!("answered {status} {}", line(error));
    let what = what.trim_end().to_owned();
    if status.is_client_error() { Problem::of_message(what) } else { Problem::of_server(what) }
}

pub(super) fn report(answer: &[u8]) -> Result<Report, Problem> {
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|error| Problem::of_server(format!("answered what is no JSON: {error}")))?;
    let score = answer.get("score").and_then(Value::as_f64).filter(|score| score.is_finite());
    let score = score.ok_or_else(|| Problem::of_server("answered without a score"))?;
    let forced = forced(&answer, score);
    let milter = answer.get("milter");
    Ok(Report {
        score,
        forced,
        symbols: symbols(answer.get("symbols")),
        add: milter.and_then(|milter| milter.get("add_headers")).map(added).unwrap_or_default(),
        remove: milter.and_then(|milter| milter.get("remove_headers")).map(removed).unwrap_or_default(),
    })
}

/// Some modules of rspamd settle what is to be done whatever the score is. Where the score itself says so, it is the
/// recipients' to judge.
fn forced(answer: &Value, score: f64) -> Option<String> {
    let action = answer.get("action").and_then(Value::as_str)?;
    let required = answer.get("required_score").and_then(Value::as_f64).unwrap_or(f64::MAX);
    (matches!(action, "reject" | "discard" | "quarantine") && score < required).then(|| action.to_owned())
}

/// The rules that fired, by how much each says.
fn symbols(found: Option<&Value>) -> Vec<String> {
    let Some(Value::Object(found)) = found else { return Vec::new() };
    let weight = |value: &Value| value.get("score").and_then(Value::as_f64).unwrap_or_default();
    let mut symbols: Vec<(f64, String)> =
        found.iter().map(|(name, value)| (weight(value), line(name))).collect();
    symbols.sort_by(|(one, _), (other, _)| other.abs().total_cmp(&one.abs()));
    symbols.into_iter().map(|(_, name)| name).collect()
}

/// `{"X-Name": "value"}`, or with `{"value": …, "order": n}` or a list of these in place of the value. An order of 0 or
/// 1 is the top of the header.
fn added(headers: &Value) -> Vec<(String, String, bool)> {
    let Value::Object(headers) = headers else { return Vec::new() };
    let mut fields = Vec::new();
    for (name, value) in headers {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let text = value.as_str().or_else(|| value.get("value").and_then(Value::as_str));
            let is_top = matches!(value.get("order").and_then(Value::as_i64), Some(0 | 1));
            fields.extend(text.map(|text| (name.clone(), text.to_owned(), is_top)));
        }
    }
    fields
}

/// `{"X-Name": 0}`: all of that name. A number above is the one at that place; of what came that way, all go.
fn removed(headers: &Value) -> Vec<String> {
    let Value::Object(headers) = headers else { return Vec::new() };
    headers.keys().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = br#"{"is_skipped": false, "score": 7.25, "required_score": 15, "action": "add header",
            "symbols": {"SMALL": {"score": 0.1}, "GOOD": {"score": -3}, "BIG": {"score": 8.0}},
            "milter": {"add_headers": {"X-A": "1", "X-B": {"value": "2", "order": 1}, "X-C": [{"value": "3"}, "4"]},
                       "remove_headers": {"X-Old": 0}}}"#;
        let found = report(answer).unwrap();
        assert!((found.score - 7.25).abs() < 1e-9);
        assert_eq!(found.symbols, ["BIG", "GOOD", "SMALL"]);
        let add: Vec<(&str, &str, bool)> =
            found.add.iter().map(|(name, value, is_top)| (name.as_str(), value.as_str(), *is_top)).collect();
        assert_eq!(add, [("X-A", "1", false), ("X-B", "2", true), ("X-C", "3", false), ("X-C", "4", false)]);
        assert_eq!(found.remove, ["X-Old"]);
    }

    #[test]
    fn what_is_no_answer_is_the_servers_fault() {
        let check = |answer: &str, expect: &str| {
            let problem = report(answer.as_bytes()).unwrap_err();
            assert!(problem.is_servers && problem.what.contains(expect), "{answer}: {problem}");
        };
        check("{\"score\": 7", "no JSON");
        check("", "no JSON");
        check("<html>", "no JSON");
        check("{\"score\": \"high\"}", "without a score");
        check("[1]", "without a score");
    }
}
