//! Every LMTP dialog in `tests/dialogs`.

use std::path::{Path, PathBuf};

use super::dialog_script::{is_like, play, unescape};

#[tokio::test]
async fn every_dialog_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_lmtp = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lmtp");
    let mut files: Vec<_> = all.filter(is_lmtp).collect();
    files.sort();
    assert!(files.len() > 10, "the dialogs are missing");
    let mut failures = Vec::new();
    for file in files {
        let script = std::fs::read_to_string(&file).unwrap();
        if let Err(why) = play(&script).await {
            failures.push(format!("{}: {why}", file.file_name().unwrap().display()));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn a_dialog_that_goes_another_way_fails() {
    let check = async |script: &str, expect: &str| {
        let why = play(script).await.unwrap_err();
        assert!(why.contains(expect), "{script}: {why}");
    };
    check("S: 221 *", "line 1: S: 221 *\n  the server said: 220 mx.example.org LMTP").await;
    check("S: 220 *\nC: NOOP", "at the end: unexpected \"250 2.0.0 Ok").await;
    check("S: 220 *\nM: x", "no message reached the core").await;
    check("S: 220 *\nN: 1", "it was: 0").await;
    check("S: 220 *\nC: QUIT\nS: 221 *\nS: 250 *", "the server has hung up").await;
    check("S: 220 *\nC: QUIT\nX:", "it said: 221 2.0.0 Bye").await;
}

#[test]
fn patterns_and_escapes() {
    assert!(is_like("250 *.5 * Ok", "250 2.1.5 xyz Ok") && !is_like("250 * Ok", "250 Okay"));
    assert!(is_like("*", "") && !is_like("", "x"));
    assert_eq!(unescape("a\\r\\n\\0\\xff\\\\"), b"a\r\n\0\xff\\");
}
