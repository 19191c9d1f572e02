//! The walk of a message over ports in memory: what one recipient's trouble costs, and what it never costs.

#[cfg(test)]
mod services;

#[cfg(test)]
mod cache;
#[cfg(test)]
mod commit;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod fates;
#[cfg(test)]
mod loops;
#[cfg(test)]
mod notices;
#[cfg(test)]
mod order;

use pigeon_testkit::memory::World;

pub(crate) const ANN: &str = "ann@example.org";
pub(crate) const BOB: &str = "bob@example.org";
pub(crate) const CARL: &str = "carl@example.org";
pub(crate) const SENDER: &str = "eve@example.net";
pub(crate) const MAIL: &str = "Subject: hi\nMessage-ID: <1@example.net>\n\nhello\n";

/// Three accounts; mail is kept in the INBOX; what `act` does is set in each test.
pub(crate) fn world() -> World {
    let world = World::new(services::SERVICES);
    world.account(ANN).account(BOB).account(CARL).set("system", "keep.enabled", true);
    world
}

/// The same with `act` doing something for ann.
pub(crate) fn world_where(how: &str) -> World {
    let world = world();
    act(&world, ANN, how);
    world
}

/// Has `act` do something for an account, a domain or everyone.
pub(crate) fn act(world: &World, place: &str, how: &str) {
    world.set(place, "act.enabled", true).set(place, "act.how", how);
}
