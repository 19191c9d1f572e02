//! Other nodes, in memory: what they were handed, and what they answer.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use pigeon_core::fault::Reply;
use pigeon_core::ports::handover::{HandOver, Handed, Parcel, unreachable_node};

use super::lock;

/// The nodes of a site; this one is called `here`.
#[derive(Debug, Default)]
pub struct MemoryNodes {
    handed: Mutex<Vec<(String, Handed)>>,
    refusals: Mutex<BTreeMap<String, Reply>>,
}

impl MemoryNodes {
    /// What was handed over so far: the node, and the recipient.
    #[must_use]
    pub fn handed(&self) -> Vec<(String, Handed)> {
        lock(&self.handed).clone()
    }

    /// What a recipient (by address) is refused with from now on.
    pub fn refuse(&self, address: &str, reply: Reply) {
        lock(&self.refusals).insert(address.to_owned(), reply);
    }
}

#[async_trait]
impl HandOver for MemoryNodes {
    fn here(&self) -> &'static str {
        "here"
    }

    async fn hand_over(&self, node: &str, parcel: Parcel<'_>) -> Vec<Result<String, Reply>> {
        assert!(parcel.head.prefix.starts_with(b"Received: "), "a hop writes a trace field (RFC 5321 §4.4)");
        let mut answers = Vec::new();
        for handed in parcel.recipients {
            let refusal = lock(&self.refusals).get(&handed.address.to_string()).cloned();
            answers.push(match refusal {
                _ if node == "lost" => Err(unreachable_node()),
                Some(reply) => Err(reply),
                None => {
                    lock(&self.handed).push((node.to_owned(), handed.clone()));
                    Ok("250 2.1.5 taken".to_owned())
                }
            });
        }
        answers
    }
}
