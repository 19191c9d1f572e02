//! Who is connected from where, and whose logins failed lately.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long failed logins of an address are remembered after the last of them.
const MEMORY: Duration = Duration::from_secs(900);
/// How many addresses are remembered at most.
const REMEMBERED: usize = 10_000;
/// The longest wait for the answer to a failed login.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The addresses of clients.
#[derive(Debug, Default)]
pub(super) struct Guests(Mutex<HashMap<IpAddr, Guest>>);

#[derive(Debug, Default)]
struct Guest {
    connections: usize,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Guest {
    fn is_of_interest(&self, now: Instant) -> bool {
        self.connections > 0 || self.last_failure.is_some_and(|last| now.duration_since(last) < MEMORY)
    }
}

/// One connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    guests: Arc<Guests>,
    address: Option<IpAddr>,
}

impl Guests {
    /// Counts a connection; none when there are `limit` from there already. Clients on this host by a Unix socket
    /// are not counted.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>, limit: usize) -> Option<Visit> {
        let address = address.map(network);
        if let Some(address) = address {
            let mut guests = self.lock();
            let guest = guests.entry(address).or_default();
            if guest.connections >= limit {
                return None;
            }
            guest.connections += 1;
        }
        Some(Visit { guests: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Guest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// Notes a failed login; says how long its answer waits: `first`, and twice as long for each one before it.
    pub(super) fn fail(&self, first: Duration, now: Instant) -> Duration {
        let Some(address) = self.address else { return first };
        let mut guests = self.guests.lock();
        if guests.len() > REMEMBERED {
            guests.retain(|_, guest| guest.connections > 0);
        }
        let guest = guests.entry(address).or_default();
        if guest.last_failure.is_some_and(|last| now.duration_since(last) >= MEMORY) {
            guest.failures = 0;
        }
        guest.last_failure = Some(now);
        let delay = first.saturating_mul(1 << guest.failures.min(10)).min(MAX_DELAY.max(first));
        guest.failures = guest.failures.saturating_add(1);
        delay
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut guests = self.guests.lock();
        if let Some(guest) = guests.get_mut(&address) {
            guest.connections = guest.connections.saturating_sub(1);
            if !guest.is_of_interest(Instant::now()) {
                guests.remove(&address);
            }
        }
    }
}

/// What one client has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_and_failures_remembered() {
        let guests = Arc::new(Guests::default());
        let enter = |address: &str| guests.enter(Some(address.parse().unwrap()), 2);
        let one = enter("2001:db8::1").unwrap();
        let two = enter("2001:db8::2").unwrap();
        assert!(enter("2001:db8::3").is_none() && enter("2001:db8:0:1::1").is_some());
        drop(two);
        assert!(enter("2001:db8::3").is_some());
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let delays = [(); 3].map(|()| one.fail(second, now));
        assert_eq!(delays, [1, 2, 4].map(Duration::from_secs));
        drop(one);
        let again = enter("2001:db8::9").unwrap();
        assert_eq!(again.fail(second, now), Duration::from_secs(8));
        assert!((0..20).all(|_| again.fail(second, now) > second));
        assert_eq!(again.fail(second, now), MAX_DELAY);
        assert_eq!(again.fail(second, now + MEMORY), second);
        assert_eq!(guests.enter(None, 0).unwrap().fail(second, now), second);
        assert_eq!(guests.lock().len(), 1, "only who failed is remembered");
    }
}
