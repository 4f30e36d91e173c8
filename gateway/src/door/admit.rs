//! How many requests may be in progress at a time: of one client, and of all clients.
//!
//! A client's own limit is checked first, before the body is read, so a client that sends slowly only delays itself.
//! The limit of all clients is checked when the whole request has arrived.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::DoorLimits;
use crate::auth::Principal;

/// The client that a request counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// The holder of a key.
    Key(String),
    /// The client at an address. For IPv6 this is the network of 64 bits, because one client has all of its
    /// addresses.
    Address(IpAddr),
}

impl Client {
    /// The client that a request of `principal` from `address` counts for.
    pub(crate) fn of(principal: &Principal, address: IpAddr) -> Self {
        match &principal.owner {
            Some(owner) => Self::Key(owner.as_str().to_owned()),
            None => Self::Address(match address.to_canonical() {
                IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
                address @ IpAddr::V4(_) => address,
            }),
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The client has reached its limit of requests in progress.
    #[error("{most} requests of this client are in hand; wait for one of them")]
    Client {
        /// The limit.
        most: usize,
    },
    /// All clients together have reached their limit.
    #[error("the gateway has {most} requests in hand")]
    All {
        /// The limit.
        most: usize,
    },
}

/// Counts requests in progress.
#[derive(Debug)]
pub(crate) struct Admission {
    most: usize,
    all: Arc<Semaphore>,
    most_each: usize,
    each: Mutex<HashMap<Client, usize>>,
}

/// A request in progress of one client. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    client: Client,
    all: Option<OwnedSemaphorePermit>,
}

impl Admission {
    pub(crate) fn new(limits: &DoorLimits) -> Arc<Self> {
        Arc::new(Self {
            most: limits.requests,
            all: Arc::new(Semaphore::new(limits.requests)),
            most_each: limits.client_requests,
            each: Mutex::default(),
        })
    }

    /// Counts a request for its client.
    pub(crate) fn of_client(self: &Arc<Self>, client: Client) -> Result<Permit, Refused> {
        let mut each = self.each.lock();
        let count = each.entry(client.clone()).or_default();
        if *count >= self.most_each {
            return Err(Refused::Client { most: self.most_each });
        }
        *count += 1;
        drop(each);
        Ok(Permit { admission: Arc::clone(self), client, all: None })
    }
}

impl Permit {
    /// Counts the request for all clients, too.
    pub(crate) fn of_all(mut self) -> Result<Self, Refused> {
        let most = self.admission.most;
        let permit = Arc::clone(&self.admission.all).try_acquire_owned();
        self.all = Some(permit.map_err(|_| Refused::All { most })?);
        Ok(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut each = self.admission.each.lock();
        if let Some(count) = each.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                each.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admission(requests: usize, client_requests: usize) -> Arc<Admission> {
        Admission::new(&DoorLimits { requests, client_requests, ..DoorLimits::default() })
    }

    fn at(address: &str) -> Client {
        Client::of(&Principal::anyone(), address.parse().unwrap())
    }

    #[test]
    fn one_client_at_its_bound_is_in_nobody_elses_way() {
        let admission = admission(10, 2);
        let held: Vec<_> = (0..2)
            .map(|_| admission.of_client(at("10.0.0.1")).unwrap().of_all().unwrap())
            .collect();
        assert_eq!(admission.of_client(at("10.0.0.1")).unwrap_err(), Refused::Client { most: 2 });
        assert!(admission.of_client(at("10.0.0.2")).unwrap().of_all().is_ok());
        drop(held);
        assert!(admission.of_client(at("10.0.0.1")).is_ok());
    }

    #[test]
    fn all_clients_together_have_a_bound_and_a_refusal_leaves_nothing_behind() {
        let admission = admission(1, 5);
        let held = admission.of_client(at("10.0.0.1")).unwrap().of_all().unwrap();
        for _ in 0..10 {
            let refused = admission.of_client(at("10.0.0.2")).unwrap().of_all();
            assert_eq!(refused.unwrap_err(), Refused::All { most: 1 });
        }
        drop(held);
        assert!(admission.of_client(at("10.0.0.2")).unwrap().of_all().is_ok());
        assert!(admission.each.lock().is_empty());
    }

    #[test]
    fn a_client_is_its_key_or_its_network() {
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        let owner = Some(crate::auth::Owner::of_key("aa"));
        let principal = Principal { owner, ..Principal::anyone() };
        let from = |address: &str| Client::of(&principal, address.parse().unwrap());
        assert_eq!(from("10.0.0.1"), from("10.0.0.2"));
    }
}
