//! Exit codes of the MDA interface. Source: `sysexits.h`, and what Postfix pipe(8), Exim and Sendmail make of them.

use pigeon_core::fault::Reply;

/// A code of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// 0: the MTA may forget the message.
    Ok = 0,
    /// 65 `EX_DATAERR`: the sender's address cannot be read.
    DataErr = 65,
    /// 67 `EX_NOUSER`: nobody has this address.
    NoUser = 67,
    /// 69 `EX_UNAVAILABLE`: refused for good.
    Unavailable = 69,
    /// 73 `EX_CANTCREAT`: over quota. Postfix and Sendmail bounce; Exim tries again.
    CantCreate = 73,
    /// 75 `EX_TEMPFAIL`: the MTA keeps the message and tries again.
    TempFail = 75,
    /// 77 `EX_NOPERM`: refused by policy.
    NoPerm = 77,
}

/// The code for a reply.
#[must_use]
pub fn of_reply(reply: &Reply) -> ExitCode {
    match (reply.code, reply.status) {
        (200..=399, _) => ExitCode::Ok,
        (400..=499, _) => ExitCode::TempFail,
        // RFC 3463 §3.2: X.1.1 bad mailbox, X.1.2 bad system, X.1.3 bad syntax, X.1.6 moved.
        (_, (_, 1, _)) => ExitCode::NoUser,
        // RFC 3463 §3.3: X.2.2 mailbox full, X.2.3 message too long for it.
        (_, (_, 2, 2 | 3)) => ExitCode::CantCreate,
        // RFC 3463 §3.8: security or policy.
        (_, (_, 7, _)) => ExitCode::NoPerm,
        _ => ExitCode::Unavailable,
    }
}
