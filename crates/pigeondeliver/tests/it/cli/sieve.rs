//! `pigeon sieve`: scripts from the command line, by several at once.

use std::process::{Child, Stdio};

use crate::node::{Node, feed};

const ANN: &str = "ann@example.org";

fn put(node: &Node, name: &str, source: &str, options: &[&str]) -> (bool, String) {
    let mut command = node.command();
    command.args(["sieve", "put", ANN, name, "-"]).args(options);
    let output = feed(&mut command, source.as_bytes());
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn list(node: &Node) -> Vec<String> {
    let listed = node.json(&["sieve", "list", ANN]);
    let scripts = listed["scripts"].as_array().unwrap().iter();
    let shown = scripts.map(|script| {
        let star = if script["is_active"] == true { "*" } else { "" };
        format!("{}{star}", script["name"].as_str().unwrap())
    });
    shown.collect()
}

#[test]
fn scripts_are_kept_and_given_out() {
    let node = Node::new(&[ANN, "bob@example.org"]);
    assert!(node.run(&["sieve", "list", ANN]).contains("There is none"));
    let (is_done, said) = put(&node, "main", "keep;\n", &["--activate"]);
    assert!(is_done && said.contains("sieve.enabled is off"), "{said}");
    let (is_done, said) = put(&node, "bad", "keep;\nnonsense;\n", &[]);
    assert!(!is_done && said.contains("line 2: "), "{said}");
    assert_eq!(node.run(&["sieve", "get", ANN, "main"]), "keep;\n");
    assert!(put(&node, "other one", "stop;\n", &[]).0);
    assert_eq!(list(&node), ["main*", "other one"]);
    node.run(&["sieve", "rename", ANN, "main", "first"]);
    node.run(&["sieve", "activate", ANN, "other one"]);
    assert_eq!(list(&node), ["first", "other one*"]);
    let output = node.command().args(["sieve", "remove", ANN, "other one"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is active"), "{output:?}");
    node.run(&["sieve", "activate", ANN, "--none"]);
    node.run(&["sieve", "remove", ANN, "first", "other one"]);
    assert!(list(&node).is_empty());
    // Everybody acts with their own rights.
    let mut command = node.command();
    command.args(["--as", "bob@example.org", "sieve", "put", ANN, "x", "-"]);
    let output = feed(&mut command, b"keep;");
    assert!(String::from_utf8_lossy(&output.stderr).contains("another person's account"), "{output:?}");
    let mut command = node.command();
    command.args(["--as", ANN, "sieve", "put", ANN, "x", "-"]);
    assert!(feed(&mut command, b"keep;").status.success());
}

/// The owner reads a script, and administrators whose grants reach the account; nobody else does.
#[test]
fn reading_takes_the_right_to() {
    let (bob, admin) = ("bob@example.org", "admin@example.org");
    let node = Node::new(&[ANN, bob, admin]);
    node.run(&["grant", "add", admin, "--domain", "example.org"]);
    assert!(put(&node, "main", "keep;\n", &[]).0);
    for (actor, expect) in [(ANN, true), (admin, true), (bob, false)] {
        for command in [&["sieve", "get", ANN, "main"][..], &["sieve", "list", ANN]] {
            let output = node.command().args(["--as", actor]).args(command).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.success(), expect, "{actor} {command:?}: {said}");
            assert_eq!(said.contains("another person's account"), !expect, "{said}");
            assert!(expect || !said.contains("keep;"), "{said}");
        }
    }
}

#[test]
fn processes_that_put_at_once_lose_nothing() {
    let node = Node::new(&[ANN]);
    let file = node.path().join("keep.sieve");
    std::fs::write(&file, "keep;\n").unwrap();
    let names: Vec<String> = (0..8).map(|number| format!("s{number}")).collect();
    let putting: Vec<Child> = names
        .iter()
        .map(|name| {
            let mut command = node.command();
            command.args(["sieve", "put", ANN, name]).arg(&file);
            command.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in putting {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(list(&node), names);
}
