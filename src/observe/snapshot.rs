//! What the API needs to know of the fleet, as the controller saw it last.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use crate::model::hex;
use crate::model::{Diagnostic, Fleet, Host, HostKey, Limits, Name, RepoPath, Revision};

/// SHA-256 of a token's text.
pub type Digest = [u8; 32];

/// Sent through a `watch` channel after each pass of the controller.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Every host with the digests of its tokens.
    pub hosts: Arc<BTreeMap<Name, Vec<Digest>>>,
    /// Whose each digest is; made when it is asked for.
    pub owners: Owners,
    /// Hosts that have keys of their own, with these.
    pub keys: Arc<BTreeMap<Name, Vec<HostKey>>>,
    pub limits: Limits,
    /// Whether a first pass has been made.
    pub ready: bool,
    /// The fleet at the head of the config branch.
    pub fleet: Arc<Fleet>,
    /// The head of the rendered branch; `None`: nothing was rendered yet.
    pub rendered: Option<Revision>,
    /// Where the folder of each host lies there.
    pub folders: Arc<BTreeMap<Name, RepoPath>>,
    /// All problems of the fleet, as far as they are known.
    pub diagnostics: Arc<Vec<Diagnostic>>,
    /// What is held back → why.
    pub held: Arc<BTreeMap<String, String>>,
}

/// Whose each digest is, for [`Snapshot::owner`] alone.
#[derive(Debug, Default)]
pub struct Owners(Arc<OnceLock<HashMap<Digest, Name>>>);

impl Clone for Owners {
    /// The copy may be about other hosts soon.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Owners {
    /// For a snapshot with the same hosts.
    fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Snapshot {
    /// The snapshot after a pass over `fleet`. A host whose file cannot be read keeps what it had in
    /// `previous`, and so does one that is missed while the fleet's own settings cannot be read (invariant I6).
    #[must_use]
    pub fn of(fleet: &Arc<Fleet>, previous: &Self) -> Self {
        let (hosts, keys, owners) = if previous.has_hosts_of(fleet) {
            // Most changes are about other things.
            (Arc::clone(&previous.hosts), Arc::clone(&previous.keys), previous.owners.share())
        } else {
            let (hosts, keys) = proofs(fleet, previous);
            (Arc::new(hosts), Arc::new(keys), Owners::default())
        };
        Self {
            hosts,
            owners,
            keys,
            limits: fleet.settings.limits.clone(),
            ready: true,
            fleet: Arc::clone(fleet),
            rendered: previous.rendered,
            folders: Arc::clone(&previous.folders),
            diagnostics: Arc::clone(&previous.diagnostics),
            held: Arc::clone(&previous.held),
        }
    }

    /// Whether it was made of the very hosts that `fleet` has.
    fn has_hosts_of(&self, fleet: &Fleet) -> bool {
        let before = &*self.fleet;
        let same = |(a, b): (&Arc<Host>, &Arc<Host>)| Arc::ptr_eq(a, b);
        self.ready
            && before.held.all.is_none()
            && fleet.held.all.is_none()
            && before.held.hosts == fleet.held.hosts
            && before.hosts.len() == fleet.hosts.len()
            && before.hosts.values().zip(fleet.hosts.values()).all(same)
    }

    /// Takes over where the folders are. As long as they stay there, it is one and the same map.
    pub fn keep_folders(&mut self, folders: &BTreeMap<Name, RepoPath>) {
        if *self.folders != *folders {
            self.folders = Arc::new(folders.clone());
        }
    }

    /// Whether `key` is one of `host`'s.
    #[must_use]
    pub fn has_key(&self, host: &Name, key: &HostKey) -> bool {
        self.keys.get(host).is_some_and(|keys| keys.contains(key))
    }

    /// The host that has a token with this digest.
    #[must_use]
    pub fn owner(&self, digest: &Digest) -> Option<&Name> {
        let owners = self.owners.0.get_or_init(|| {
            let of_host = |(host, digests): (&Name, &Vec<Digest>)| -> Vec<(Digest, Name)> {
                digests.iter().map(|digest| (*digest, host.clone())).collect()
            };
            self.hosts.iter().flat_map(of_host).collect()
        });
        owners.get(digest)
    }
}

type Proofs = (BTreeMap<Name, Vec<Digest>>, BTreeMap<Name, Vec<HostKey>>);

/// The digests of tokens, and the keys, by host: see [`Snapshot::of`].
fn proofs(fleet: &Fleet, previous: &Snapshot) -> Proofs {
    let (mut hosts, mut keys) = if fleet.held.all.is_some() {
        ((*previous.hosts).clone(), (*previous.keys).clone())
    } else {
        (kept(&previous.hosts, fleet), kept(&previous.keys, fleet))
    };
    for (name, host) in &fleet.hosts {
        let digests = host.spec.tokens.iter().filter_map(|token| digest(token));
        hosts.insert(name.clone(), digests.collect());
        if host.spec.keys.is_empty() {
            keys.remove(name);
        } else {
            keys.insert(name.clone(), host.spec.keys.clone());
        }
    }
    (hosts, keys)
}

/// What hosts had whose files cannot be read.
fn kept<T: Clone>(all: &BTreeMap<Name, T>, fleet: &Fleet) -> BTreeMap<Name, T> {
    let held = fleet.held.hosts.keys();
    held.filter_map(|host| Some((host.clone(), all.get(host)?.clone()))).collect()
}

/// Reads `sha256:<64 hexadecimal digits>`.
fn digest(text: &str) -> Option<Digest> {
    hex::decode(text.strip_prefix("sha256:")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Hold, HostSpec, Labels};

    fn host(name: &str, tokens: &[&str]) -> (Name, Arc<Host>) {
        let spec = HostSpec {
            tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
            ..HostSpec::default()
        };
        let path = RepoPath::new(&format!("hosts/{name}.yaml")).unwrap();
        let name = Name::new(name).unwrap();
        (name.clone(), Arc::new(Host { name, path, labels: Labels::new(), spec }))
    }

    #[test]
    fn digests_are_read_and_a_broken_host_keeps_its_tokens() {
        let token = format!("sha256:{}", "0a".repeat(32));
        let mut fleet = Fleet::default();
        fleet.hosts.extend([host("a", &[&token, "md5:1", "sha256:zz"]), host("b", &[])]);
        for host in fleet.hosts.values_mut() {
            Arc::make_mut(host).spec.keys.push(HostKey([7; 32]));
        }
        let of =
            |fleet: &Fleet, previous: &Snapshot| Snapshot::of(&Arc::new(fleet.clone()), previous);
        let first = of(&fleet, &Snapshot::default());
        let (a, b) = (Name::new("a").unwrap(), Name::new("b").unwrap());
        let key = HostKey([7; 32]);
        assert_eq!(first.hosts[&a], vec![[0x0a; 32]]);
        assert!(first.hosts[&b].is_empty() && first.ready);
        assert_eq!(first.owner(&[0x0a; 32]), Some(&a));
        let again = of(&fleet, &first);
        assert!(Arc::ptr_eq(&again.hosts, &first.hosts) && Arc::ptr_eq(&again.keys, &first.keys));
        assert_eq!(again.owner(&[0x0a; 32]), Some(&a));
        let mut other = fleet.clone();
        Arc::make_mut(other.hosts.get_mut(&b).unwrap()).spec.tokens.push(token.clone());
        Arc::make_mut(other.hosts.get_mut(&a).unwrap()).spec.tokens.clear();
        let other = of(&other, &again);
        assert_eq!((other.owner(&[0x0a; 32]), &other.hosts[&b]), (Some(&b), &vec![[0x0a; 32]]));

        fleet.hosts.clear();
        let hold = Hold { code: "yaml/tab".into(), reason: "hosts/a.yaml:1:1: tab".into() };
        fleet.held.hosts.insert(a.clone(), hold.clone());
        let second = of(&fleet, &first);
        assert_eq!(second.hosts.keys().collect::<Vec<_>>(), [&a]);
        assert_eq!(second.hosts[&a], vec![[0x0a; 32]]);
        assert!(first.has_key(&b, &key) && !first.has_key(&b, &HostKey([8; 32])));
        assert!(second.has_key(&a, &key) && !second.has_key(&b, &key));

        fleet.held.all = Some(hold);
        assert_eq!(of(&fleet, &first).hosts, first.hosts);
        // What can be read of hosts counts all the same: a token that is taken back, a restart.
        fleet.hosts.extend([host("b", &[&token])]);
        assert_eq!(of(&fleet, &first).hosts[&b], vec![[0x0a; 32]]);
        assert_eq!(of(&fleet, &Snapshot::default()).hosts.keys().collect::<Vec<_>>(), [&b]);
    }
}
