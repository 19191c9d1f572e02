//! The schema: both forms load, say the same, and what goes wrong without it is said.

use std::fs;

use pigeon_backends::directory::ldap::{LdapDirectory, LdapOptions};
use pigeon_core::ports::directory::Administration as _;
use pigeon_testkit::peers::SlapdOptions;

use super::{BASE, add_account, add_domain, means, open, options, packaging, server, start, text};

/// The definitions in a file, without the difference in form.
fn definitions(file: &str) -> Vec<String> {
    let text = fs::read_to_string(packaging(file)).unwrap();
    let words: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    let joined = words.join(" ");
    let keywords = [
        ("olcObjectIdentifier:", "objectIdentifier"),
        ("olcAttributeTypes:", "attributetype"),
        ("olcObjectClasses:", "objectclass"),
    ];
    let same = keywords.iter().fold(joined, |text, (ldif, plain)| text.replace(ldif, plain));
    let (_, same) = same.split_once("objectIdentifier").unwrap();
    same.split(" attributetype ").flat_map(|part| part.split(" objectclass ")).map(str::to_owned).collect()
}

#[test]
fn both_forms_say_the_same() {
    let (schema, ldif) = (definitions("pigeondeliver.schema"), definitions("pigeondeliver.ldif"));
    assert_eq!(schema, ldif);
    assert!(schema.len() > 35, "{}", schema.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_works_with_the_schema_for_cn_config() {
    let schemas = vec![packaging("pigeondeliver.ldif")];
    let Some(slapd) = start(&SlapdOptions { schemas, ..SlapdOptions::default() }) else { return };
    slapd.modify(&text("database.ldif")).unwrap();
    let options = options(&slapd.url());
    LdapDirectory::create(&options).await.unwrap();
    let directory = open(&options);
    add_domain(&directory, "example.org").await;
    add_account(&directory, "ann@example.org").await;
    assert_eq!(means(&directory, "ann+x@example.org").await, ["ann@example.org"]);
    // A second time is no harm.
    LdapDirectory::create(&options).await.unwrap();
    assert_eq!(directory.count().await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_way_of_a_directory_is_said() {
    let bare = SlapdOptions { schemas: Vec::new(), indexes: Vec::new(), ..SlapdOptions::default() };
    let Some(slapd) = start(&bare) else { return };
    let admin = |url: &str, base: &str| LdapOptions {
        url: format!("{url}/{base}"),
        bind_dn: Some(bare.root_dn.clone()),
        password: Some(bare.password.clone()),
        ..LdapOptions::default()
    };
    let check = async |options: &LdapOptions, word: &str| {
        let error = LdapDirectory::create(options).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error:?} does not say {word:?}");
        assert!(!error.contains(&bare.password), "{error}");
    };
    check(&admin(&slapd.url(), BASE), "load packaging/openldap/pigeondeliver.schema").await;
    check(&admin(&slapd.url(), "ou=new,dc=example,dc=org"), "pigeondeliver.schema").await;
    check(&options(&slapd.url()), "pigeondeliver.schema").await;
    let wrong = LdapOptions { password: Some("wrong".to_owned()), ..admin(&slapd.url(), BASE) };
    check(&wrong, "does not take this bind DN").await;
    let none = LdapOptions { password: None, ..admin(&slapd.url(), BASE) };
    check(&none, "set password_file").await;
    let Some(slapd) = start(&server()) else { return };
    check(&admin(&slapd.url(), "ou=x,ou=missing,dc=example,dc=org"), "make that one first").await;
    check(&admin(&slapd.url(), "uid=x,dc=example,dc=org"), "make it yourself").await;
    // Other bases are made as what their names say; whom to bind as may stand in the URL.
    let who = "????bindname=cn=admin%2Cdc=example%2Cdc=org,x-bindpw=secret";
    for base in ["o=Our%20Mail,dc=example,dc=org", "dc=mail,dc=example,dc=org", "cn=mail,dc=example,dc=org"] {
        let options = LdapOptions { url: format!("{}/{base}{who}", slapd.url()), ..LdapOptions::default() };
        LdapDirectory::create(&options).await.unwrap();
        let directory = open(&options);
        add_domain(&directory, "example.org").await;
        add_account(&directory, "ann@example.org").await;
        assert_eq!(means(&directory, "ann@example.org").await, ["ann@example.org"], "{base}");
    }
    check(&admin(&slapd.url(), "ou=x,dc=mail,dc=example,dc=org"), "one inside of the other").await;
    check(&admin(&slapd.url(), "dc=example,dc=org"), "one inside of the other").await;
    let Some(slapd) = start(&server()) else { return };
    let service =
        LdapOptions { url: format!("{}/ou=new,dc=example,dc=org", slapd.url()), ..options(&slapd.url()) };
    check(&service, "give it write access").await;
    let directory = open(&options(&slapd.url()));
    let error = directory.count().await;
    assert_eq!(error.unwrap(), 0);
    let unmade = pigeon_core::ports::directory::Directory::feed(&directory, 0).await.unwrap_err().to_string();
    assert!(unmade.contains("pigeon init"), "{unmade}");
    let nobody = LdapDirectory::open(
        LdapOptions::default(),
        pigeon_testkit::contracts::directory::catalogue(<_>::default()),
    );
    assert!(nobody.is_err());
}
