//! The protocol as a model, checked in all its states, and broken in every way that it must not be. `just model` checks a
//! larger world.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/world.rs"]
mod world;

use std::time::Instant;

use rules::{breaks, check};
use world::{MUTANTS, Mutant, Protocol};

const SMALL: Protocol = Protocol {
    workers: 2,
    sweepers: 0,
    attempts: 2,
    faults: 1,
    kills: 0,
    cancels: 1,
    mutant: None,
};

#[test]
fn nothing_goes_wrong_in_any_state_of_a_small_world() {
    assert!(check(SMALL) > 300_000, "the model has become smaller than it was");
}

#[test]
fn whatever_is_broken_is_found() {
    for mutant in MUTANTS {
        // A plain put is found only where a query may be killed or end in several ways, and few faults find it faster.
        let faults = match mutant {
            Mutant::PlainCommit | Mutant::ListsData | Mutant::SealsClaims => 0,
            _ => 1,
        };
        let cancels = u8::from(matches!(mutant, Mutant::PlainEnd | Mutant::CollectsEnds));
        let broken = Protocol { faults, cancels, mutant: Some(mutant), ..SMALL };
        let steps = breaks(broken);
        assert!(steps.is_some(), "{mutant:?} is not found");
        println!("{mutant:?}: {} steps", steps.unwrap());
    }
}

#[test]
#[ignore = "minutes of work; `just model`"]
fn nothing_goes_wrong_in_any_state_of_a_larger_world() {
    for world in [
        Protocol { kills: 1, ..SMALL },
        Protocol { sweepers: 1, ..SMALL },
        Protocol { attempts: 3, sweepers: 1, ..SMALL },
        Protocol { faults: 2, ..SMALL },
    ] {
        let began = Instant::now();
        println!("{world:?}: {} states, {:.0?}", check(world), began.elapsed());
    }
}
