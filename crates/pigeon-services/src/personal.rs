//! Whether a message was written by a person to this recipient: only such a one may be answered.

use pigeon_core::address::Address;
use pigeon_core::delivery::Delivery;
use pigeon_core::message::Message;

use crate::address_list::addresses;

/// Local parts that belong to programs, in lower case (RFC 5230 §4.6, RFC 3834 §2).
const PROGRAMS: &[&str] = &[
    "mailer-daemon",
    "listserv",
    "majordomo",
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "do_not_reply",
    "bounce",
    "bounces",
    "postmaster",
];
/// Beginnings and endings of such local parts.
const PROGRAM_BEGINNINGS: &[&str] =
    &["owner-", "bounce-", "bounces-", "bounce+", "bounces+", "noreply+", "noreply-", "no-reply+"];
const PROGRAM_ENDINGS: &[&str] =
    &["-request", "-owner", "-bounce", "-bounces", "-relay", "-noreply", ".noreply", "-no-reply"];

/// The fields that name recipients (RFC 5230 §4.5).
const RECIPIENT_FIELDS: &[&str] = &["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];

/// The sender, unless the envelope shows that it is a program.
pub(crate) fn answerable_sender(delivery: &Delivery) -> Result<Address, String> {
    // RFC 3834 §2, RFC 5321 §4.5.5: the null sender is never answered.
    let Some(sender) = delivery.sender().address() else {
        return Err("the sender is empty: the mail is a notification".to_owned());
    };
    let local = sender.local().to_lowercase();
    let is_program = PROGRAMS.contains(&&*local)
        || PROGRAM_BEGINNINGS.iter().any(|beginning| local.starts_with(beginning))
        || PROGRAM_ENDINGS.iter().any(|ending| local.ends_with(ending));
    if is_program {
        return Err(format!("{sender} is the address of a program"));
    }
    Ok(sender.clone())
}

/// What in the header shows that a program sent the message, if anything does.
pub(crate) fn automatic(message: &Message) -> Option<String> {
    message.fields().find_map(|field| {
        let name = field.name.to_ascii_lowercase();
        let value = || field.value().to_ascii_lowercase();
        let is_automatic = match &*name {
            // RFC 3834 §2 and §5.2: anything but "no" is an automatic message; parameters may follow.
            "auto-submitted" => first_token(&value()) != "no",
            // RFC 3834 §3.1.8 and RFC 2076 §3.9: how older programs mark bulk mail.
            "precedence" => matches!(first_token(&value()), "bulk" | "list" | "junk" | "auto_reply"),
            // MS-OXCMAIL §2.1.3.2.20: which automatic answers the sender does not want.
            "x-auto-response-suppress" => {
                value().split(',').any(|word| matches!(word.trim(), "all" | "oof" | "autoreply"))
            }
            // RFC 3464 §2, RFC 8098 §3: reports are answers themselves.
            "content-type" => first_token(&value()) == "multipart/report",
            // RFC 5230 §4.6: mailing lists (RFC 2369 §3, RFC 2919 §3).
            _ => name.starts_with("list-"),
        };
        is_automatic.then(|| {
            let shown: String = field.value().chars().take(60).collect();
            format!("the mail is an automatic one ({}: {shown})", field.name)
        })
    })
}

fn first_token(value: &str) -> &str {
    value.split([';', ' ', '\t', '(']).find(|token| !token.is_empty()).unwrap_or_default()
}

/// Whether one of these addresses (in key form) is named as a recipient in the header (RFC 5230 §4.5).
pub(crate) fn is_addressed_to(message: &Message, own: &[String]) -> bool {
    let is_recipient_field =
        |name: &str| RECIPIENT_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name));
    message
        .fields()
        .filter(|field| is_recipient_field(field.name))
        .flat_map(|field| addresses(&field.value()))
        .any(|address| own.contains(&address.key()))
}
