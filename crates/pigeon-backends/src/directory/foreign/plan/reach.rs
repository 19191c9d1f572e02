//! Where aliases lead: those that reach nobody are left out, and circles are written out.
//!
//! Other systems deliver to system users that are no accounts, and follow a circle once around. Here an alias to nobody
//! is refused, and one that goes in a circle makes mail wait.

use std::collections::{HashMap, HashSet};

use pigeon_core::address::Address;

use super::super::{ForeignAlias, Remark};
use super::{Known, key_of};

/// A target as the walk sees it.
enum End {
    /// Elsewhere, or an account, or an alias that the directory has.
    Reached,
    /// Another new alias, by its place in the list.
    Alias(usize),
    /// Nobody.
    Nobody,
}

/// The aliases with those targets that lead somewhere.
pub(super) fn follow(
    mut aliases: Vec<ForeignAlias>,
    known: &Known,
    left: &mut Vec<Remark>,
) -> Vec<ForeignAlias> {
    let names = Names::new(&aliases, known);
    let ends: Vec<Vec<End>> =
        aliases.iter().map(|alias| alias.targets.iter().map(|target| names.end(target)).collect()).collect();
    let reaching = reaching(&ends);
    let circles: Vec<Option<Vec<Address>>> =
        (0..aliases.len()).map(|at| written_out(at, &aliases, &ends, &reaching)).collect();
    let mut kept = Vec::new();
    for ((alias, ends), circle) in aliases.iter_mut().zip(&ends).zip(circles) {
        let mut leave = |what: String, why: &str| {
            left.push(Remark { origin: alias.origin.clone(), what, why: why.to_owned() });
        };
        let mut targets = Vec::new();
        for (target, end) in alias.targets.iter().zip(ends) {
            let is_reached = match end {
                End::Reached => true,
                End::Alias(to) => reaching.contains(to),
                End::Nobody => false,
            };
            if is_reached {
                targets.push(target.clone());
            } else {
                leave(
                    format!("target {target} of alias {}", alias.pattern),
                    "nobody of that name is imported, and none is here",
                );
            }
        }
        if let Some(written_out) = circle.filter(|targets| !targets.is_empty()) {
            leave(
                format!("alias {}", alias.pattern),
                "it leads back to itself: the targets of its circle were written out",
            );
            targets = written_out;
        }
        if targets.is_empty() {
            leave(format!("alias {}", alias.pattern), "it leads to nobody");
        } else {
            kept.push(ForeignAlias { targets, ..alias.clone() });
        }
    }
    kept
}

/// Names by which targets are found.
struct Names<'a> {
    known: &'a Known,
    new: HashMap<String, usize>,
    /// Wildcards and catch-alls: domain, place in the list.
    patterns: Vec<(String, usize)>,
    /// The domains that have wildcards in the directory.
    open: HashSet<&'a str>,
    aliases: &'a [ForeignAlias],
}

impl<'a> Names<'a> {
    fn new(aliases: &'a [ForeignAlias], known: &'a Known) -> Self {
        let open = known.aliases.iter().filter_map(|key| key.rsplit_once('@'));
        let open = open.filter(|(local, _)| local.contains('*')).map(|(_, domain)| domain).collect();
        let mut names = Self { known, new: HashMap::new(), patterns: Vec::new(), open, aliases };
        for (at, alias) in aliases.iter().enumerate() {
            let domain = alias.pattern.domain.as_str();
            names.new.insert(key_of(&alias.pattern.local, domain), at);
            if alias.pattern.is_wildcard() {
                names.patterns.push((domain.to_owned(), at));
            }
        }
        names
    }

    fn end(&self, target: &Address) -> End {
        let Some(domain) = self.known.domains.get(target.domain().as_str()) else { return End::Reached };
        let local = target.local().to_lowercase();
        let base = local.split_once('+').map_or(&*local, |(base, _)| base);
        for local in [&*local, base] {
            let key = key_of(local, &domain.name);
            if self.known.accounts.contains(&key) || self.known.aliases.contains(&key) {
                return End::Reached;
            }
            if let Some(at) = self.new.get(&key) {
                return End::Alias(*at);
            }
        }
        let matching = |(of, at): &&(String, usize)| {
            *of == domain.name && self.aliases.get(*at).is_some_and(|alias| alias.pattern.matches(&local))
        };
        if let Some((_, at)) = self.patterns.iter().find(matching) {
            return End::Alias(*at);
        }
        // A wildcard of the directory's own may match: that is not to be known here.
        if self.open.contains(domain.name.as_str()) { End::Reached } else { End::Nobody }
    }
}

/// The aliases from which somebody is reached.
fn reaching(ends: &[Vec<End>]) -> HashSet<usize> {
    let mut reaching = HashSet::new();
    loop {
        let before = reaching.len();
        for (at, ends) in ends.iter().enumerate() {
            let is_reached = |end: &End| match end {
                End::Reached => true,
                End::Alias(to) => reaching.contains(to),
                End::Nobody => false,
            };
            if ends.iter().any(is_reached) {
                reaching.insert(at);
            }
        }
        if reaching.len() == before {
            return reaching;
        }
    }
}

/// The targets of an alias from which one comes back to it: all that its circle leads to.
fn written_out(
    start: usize,
    aliases: &[ForeignAlias],
    ends: &[Vec<End>],
    reaching: &HashSet<usize>,
) -> Option<Vec<Address>> {
    let members = reachable(start, ends);
    if !members.contains(&start) {
        return None;
    }
    let is_member =
        |at: usize| at == start || (members.contains(&at) && reachable(at, ends).contains(&start));
    let mut targets: Vec<Address> = Vec::new();
    let mut circle: Vec<usize> = members.iter().copied().filter(|at| is_member(*at)).collect();
    circle.sort_unstable();
    for at in circle {
        let Some((alias, ends)) = aliases.get(at).zip(ends.get(at)) else { continue };
        for (target, end) in alias.targets.iter().zip(ends) {
            let is_kept = match end {
                End::Reached => true,
                End::Alias(to) => reaching.contains(to) && !is_member(*to),
                End::Nobody => false,
            };
            if is_kept && !targets.contains(target) {
                targets.push(target.clone());
            }
        }
    }
    Some(targets)
}

/// The aliases that one comes to from another; itself only around a circle.
fn reachable(start: usize, ends: &[Vec<End>]) -> HashSet<usize> {
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        for end in ends.get(at).into_iter().flatten() {
            if let End::Alias(to) = end
                && seen.insert(*to)
            {
                open.push(*to);
            }
        }
    }
    seen
}
