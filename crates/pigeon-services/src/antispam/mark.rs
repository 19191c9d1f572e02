//! The header fields: those that tell people and filters, the scanner's own, and the record that learning reads.

use pigeon_core::delivery::Delivery;
use pigeon_core::headers::{self, HeaderEdits};

use super::judge::{Finding, Judgement, number};
use super::record::{self, Record};
use super::settings::{Settings, SpamField};
use crate::compose;

/// How many rules X-Spam-Status names, and how many stars X-Spam-Level has.
const MAX_TESTS: usize = 40;
const MAX_STARS: usize = 50;

/// Takes out what came with the message, and writes what was found.
pub(super) fn write(delivery: &mut Delivery, settings: &Settings, finding: &Finding, judged: &Judgement) {
    // What a sender writes there is a lie, or was true elsewhere. Only what is there: a header that is not edited is
    // shared with the other recipients.
    let forged: Vec<&str> = SpamField::ALL.iter().map(|field| field.name()).chain([record::NAME]).collect();
    for name in forged {
        if delivery.message().field(name).is_some() {
            delivery.header().remove(name);
        }
    }
    if let Finding::Scanned(report) = finding
        && settings.scanner_fields
    {
        for name in &report.remove {
            delivery.header().remove(name);
        }
        for (name, value, is_top) in &report.add {
            scanners_own(delivery.header(), name, value, *is_top);
        }
    }
    for field in SpamField::ALL {
        if let Some(value) = value_of(field, settings, finding, judged)
            && settings.fields.contains(&field)
        {
            delivery.header().replace(field.name(), &compose::fold(field.name(), &value));
        }
    }
    let prefix = compose::text_tokens(&settings.subject_prefix);
    if judged.is_spam() && !prefix.is_empty() {
        prefix_subject(delivery, prefix);
    }
    let record = Record::new(settings, finding, judged, &delivery.transaction().id);
    delivery.header().replace(record::NAME, &record.to_string());
}

/// A field of the scanner's own, as it wrote and folded it.
fn scanners_own(header: &mut HeaderEdits, name: &str, value: &str, is_top: bool) {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    match (is_name, is_top) {
        (false, _) => {}
        (true, true) => header.prepend(name, value),
        (true, false) => header.append(name, value),
    }
}

fn value_of(
    field: SpamField,
    settings: &Settings,
    finding: &Finding,
    judged: &Judgement,
) -> Option<Vec<String>> {
    let report = match finding {
        Finding::Scanned(report) => Some(report),
        Finding::TooLarge(_) | Finding::Down(_) => None,
    };
    match field {
        SpamField::Flag => judged.is_spam().then(|| vec!["YES".to_owned()]),
        SpamField::Score => report.map(|report| vec![number(report.score)]),
        SpamField::Level => {
            let stars =
                report.map(|report| (1..=MAX_STARS).take_while(|star| stars_reach(*star, report.score)));
            stars.map(Iterator::count).filter(|count| *count > 0).map(|count| vec!["*".repeat(count)])
        }
        SpamField::Status => status(settings, finding, judged),
    }
}

fn stars_reach(star: usize, score: f64) -> bool {
    u32::try_from(star).is_ok_and(|star| f64::from(star) <= score)
}

/// `Yes, score=7.3 required=6.0 tests=[A, B]`
fn status(settings: &Settings, finding: &Finding, judged: &Judgement) -> Option<Vec<String>> {
    let mut words = vec![if judged.is_spam() { "Yes," } else { "No," }.to_owned()];
    match finding {
        Finding::Scanned(report) => {
            words.push(format!("score={}", number(report.score)));
            words.push(format!("required={}", number(settings.threshold)));
            let tests: Vec<&str> = report.symbols.iter().take(MAX_TESTS).map(String::as_str).collect();
            let tests = format!("tests=[{}]", tests.join(", "));
            words.extend(tests.split(' ').map(str::to_owned));
        }
        Finding::TooLarge(_) if settings.mark_unscanned => {
            words.extend(["not", "scanned:", "too", "large"].map(str::to_owned));
        }
        Finding::Down(_) if settings.mark_unscanned => {
            words.extend(["not", "scanned:", "no", "scanner"].map(str::to_owned));
        }
        Finding::TooLarge(_) | Finding::Down(_) => return None,
    }
    Some(words)
}

/// Puts the words before the subject, unless it has them already.
fn prefix_subject(delivery: &mut Delivery, prefix: Vec<String>) {
    let subject = headers::find(delivery.message().head(), "Subject").map(|field| field.value());
    let words = compose::wire_tokens(&subject.unwrap_or_default());
    if !words.starts_with(&prefix) {
        let value = compose::fold("Subject", &[prefix, words].concat());
        delivery.header().replace("Subject", &value);
    }
}
