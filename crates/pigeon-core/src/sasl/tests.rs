//! The example of RFC 7677, and clients that break the rules.

use async_trait::async_trait;
use data_encoding::BASE64;
use futures_util::FutureExt as _;

use super::*;
use crate::directory::Id;
use crate::ports::authenticator::ScramAccount;

/// Knows `user` with the password `pencil`, and `ghost` whose keys are made up from the same password.
struct Users;

fn identity() -> Identity {
    Identity { account: Id("1".to_owned()), address: "user@example.org".parse().unwrap() }
}

#[async_trait]
impl Authenticator for Users {
    async fn check_password(&self, login: &str, password: &str) -> Result<Identity, LoginError> {
        match (login, password) {
            ("user", "pencil") => Ok(identity()),
            ("down", _) => Err(LoginError::Unavailable("it is down".to_owned())),
            _ => Err(LoginError::Refused),
        }
    }

    async fn scram_sha_256(&self, login: &str) -> Result<ScramAccount, LoginError> {
        let salt = BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive("pencil", &salt, 4096);
        Ok(ScramAccount { keys, holder: (login == "user").then(identity) })
    }

    async fn account_to_act_for(&self, actor: &Identity, acts_as: &str) -> Result<Identity, LoginError> {
        assert_eq!(*actor, identity(), "whoever asks has shown who they are");
        match acts_as {
            "ann@example.org" => Ok(ann()),
            "down@example.org" => Err(LoginError::Unavailable("it is down".to_owned())),
            _ => Err(LoginError::MayNotAct(actor.address.clone())),
        }
    }
}

/// Whom `user` may act for.
fn ann() -> Identity {
    Identity { account: Id("2".to_owned()), address: "ann@example.org".parse().unwrap() }
}

/// RFC 7677 §3
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CHALLENGE: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SUCCESS: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn converse(
    mechanism: Mechanism,
    exporter: Option<&[u8]>,
    responses: &[&str],
) -> Result<(Vec<String>, Option<Login>), SaslError> {
    let mut exchange = Exchange::new(mechanism, SERVER_NONCE.to_owned(), exporter.map(<[u8]>::to_vec));
    let (mut said, mut who) = (Vec::new(), None);
    for response in responses {
        let step = exchange.respond(&Users, response.as_bytes()).now_or_never().unwrap()?;
        match step {
            Step::Challenge(challenge) => said.push(String::from_utf8(challenge).unwrap()),
            Step::Done(login, last) => {
                said.extend(last.map(|last| String::from_utf8(last).unwrap()));
                who = Some(login);
            }
        }
    }
    Ok((said, who))
}

#[test]
fn the_example_of_the_rfc_succeeds() {
    let (said, who) = converse(Mechanism::ScramSha256, None, &[FIRST, LAST]).unwrap();
    assert_eq!(said, [CHALLENGE, SUCCESS]);
    assert_eq!(who, Some(Login::own(identity())));
}

#[test]
fn nobody_else_is_let_in() {
    let refused = Err(SaslError::Login(LoginError::Refused));
    let ghost = FIRST.replace("user", "ghost");
    assert_eq!(converse(Mechanism::ScramSha256, None, &[&ghost, LAST]), refused);
    let wrong = LAST.replace("p=dH", "p=dX");
    assert_eq!(converse(Mechanism::ScramSha256, None, &[FIRST, &wrong]), refused);
    assert_eq!(converse(Mechanism::Plain, None, &["\0user\0wrong"]), refused);
    // Whoever has not shown who they are does not learn whom they could act for.
    assert_eq!(converse(Mechanism::Plain, None, &["ann@example.org\0user\0wrong"]), refused);
    let unknown = converse(Mechanism::Plain, None, &["\0down\0pencil"]).unwrap_err();
    assert!(matches!(unknown, SaslError::Login(LoginError::Unavailable(_))));
}

/// A login of SCRAM with an authorization identity, by a client that knows the password.
fn scram_as(acts_as: &str) -> Result<(Vec<String>, Option<Login>), SaslError> {
    let header = format!("n,a={acts_as},");
    let first = FIRST.replace("n,,", &header);
    let without_proof =
        format!("c={},{}", BASE64.encode(header.as_bytes()), CHALLENGE.split(',').next().unwrap());
    let messages = format!("{},{CHALLENGE},{without_proof}", FIRST.strip_prefix("n,,").unwrap());
    let last = format!("{without_proof},p={}", scram::client_proof("pencil", CHALLENGE, &messages));
    converse(Mechanism::ScramSha256, None, &[&first, &last])
}

#[test]
fn whoever_may_acts_for_another() {
    let acting = Login { actor: identity(), owner: ann() };
    let done = converse(Mechanism::Plain, None, &["ann@example.org\0user\0pencil"]);
    assert_eq!(done, Ok((vec![], Some(acting.clone()))));
    assert_eq!(scram_as("ann@example.org").unwrap().1, Some(acting));
    assert_eq!(scram_as("USER").unwrap().1, Some(Login::own(identity())));
    let refused = Err(SaslError::Login(LoginError::MayNotAct(identity().address)));
    assert_eq!(converse(Mechanism::Plain, None, &["eve@example.org\0user\0pencil"]), refused);
    assert_eq!(scram_as("eve@example.org"), refused);
    let unknown = scram_as("down@example.org").unwrap_err();
    assert!(matches!(unknown, SaslError::Login(LoginError::Unavailable(_))), "{unknown}");
}

#[test]
fn plain_takes_a_name_and_a_password() {
    for response in ["\0user\0pencil", "user\0user\0pencil"] {
        let done = converse(Mechanism::Plain, None, &[response]).unwrap();
        assert_eq!(done, (vec![], Some(Login::own(identity()))), "{response:?}");
    }
    for response in ["", "user", "\0user", "\0user\0", "\0\0pencil", "\0user\0pencil\0", "\0user\0pen\0cil"] {
        let error = converse(Mechanism::Plain, None, &[response]).unwrap_err();
        assert!(matches!(error, SaslError::Malformed(_)), "{response:?}");
    }
}

#[test]
fn messages_that_break_the_rules_are_refused() {
    for first in [
        "",
        "n",
        "n,,",
        "n,,n=user",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "x,,n=user,r=x",
        "n,b=x,n=user,r=x",
        "n,,m=1,n=user,r=x",
        "n,,n=us=er,r=x",
        "n,,n=us=2,r=x",
        "n,,n=user,r=\u{e9}",
        "n,,n=user,r=a b",
        "n,,n=us\0er,r=x",
    ] {
        let error = converse(Mechanism::ScramSha256, None, &[first]).unwrap_err();
        assert!(matches!(error, SaslError::Malformed(_)), "{first:?}");
    }
    let long = format!("n,,n=user,r={}", "x".repeat(5000));
    assert!(converse(Mechanism::ScramSha256, None, &[&long]).is_err());
    for last in
        ["", "c=biws", "c=biws,r=x,p=AAAA", &LAST.replace("c=biws", "c=eSws"), &LAST.replace(",p=", ",q=")]
    {
        let error = converse(Mechanism::ScramSha256, None, &[FIRST, last]).unwrap_err();
        assert!(matches!(error, SaslError::Malformed(_)), "{last:?}");
    }
}

/// RFC 5802 §6: with `-PLUS` on offer, `y` says that somebody took it away on the way.
#[test]
fn logins_are_bound_to_their_connection() {
    let check = |mechanism, exporter: Option<&[u8]>, header: &str, expect: bool| {
        let first = FIRST.replace("n,,", header);
        let is_begun = converse(mechanism, exporter, &[&first]).is_ok();
        assert_eq!(is_begun, expect, "{mechanism:?} {exporter:?} {header}");
    };
    let (scram, plus) = (Mechanism::ScramSha256, Mechanism::ScramSha256Plus);
    check(scram, None, "n,,", true);
    check(scram, None, "y,,", true);
    check(scram, Some(b"x"), "n,,", true);
    check(scram, Some(b"x"), "y,,", false);
    check(scram, Some(b"x"), "p=tls-exporter,,", false);
    check(plus, Some(b"x"), "p=tls-exporter,,", true);
    check(plus, Some(b"x"), "p=tls-unique,,", false);
    check(plus, Some(b"x"), "n,,", false);
    check(plus, None, "p=tls-exporter,,", false);
    // The octets of another connection are not this one's.
    let first = FIRST.replace("n,,", "p=tls-exporter,,");
    let other = LAST.replace("biws", &BASE64.encode(b"p=tls-exporter,,y"));
    let error = converse(plus, Some(b"x"), &[&first, &other]).unwrap_err();
    assert!(error.to_string().contains("not bound"), "{error}");
}

#[test]
fn mechanisms_have_names() {
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        assert_eq!(Mechanism::named(&mechanism.name().to_lowercase()), Some(mechanism));
    }
    assert_eq!(Mechanism::named("LOGIN"), None);
}
