//! Every ManageSieve dialog in `tests/dialogs`.

use std::path::Path;

use super::player::play;

#[tokio::test]
async fn every_dialog_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        all.filter(|path| path.extension().is_some_and(|extension| extension == "managesieve")).collect();
    files.sort();
    assert!(files.len() > 8, "the dialogs are missing");
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
    let why = play("S: \"SASL\" *").await.unwrap_err();
    assert!(why.contains("line 1") && why.contains("IMPLEMENTATION"), "{why}");
    let why = play("C: LOGOUT\nX:").await.unwrap_err();
    assert!(why.contains("it said: "), "{why}");
}
