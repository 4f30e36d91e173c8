//! News that are lost, come twice, or come late.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dunlin_manifest::env::Env;
use dunlin_manifest::query::{Heard, News, Wake};
use dunlin_sim::hub::Ear;
use parking_lot::Mutex;

use crate::dice::Dice;

/// How a worker listens, with bad luck.
#[derive(Debug)]
pub(crate) struct Luck {
    ear: Ear,
    env: Env,
    dice: Arc<Mutex<Dice>>,
    lost: u64,
}

impl Luck {
    /// Of ten thousand news, so many are lost, as many come twice, and as many up to 30 s late.
    pub(crate) fn new(ear: Ear, env: &Env, dice: &Arc<Mutex<Dice>>, lost: u64) -> Self {
        Self { ear, env: env.clone(), dice: Arc::clone(dice), lost }
    }
}

#[async_trait]
impl Wake for Luck {
    async fn tell(&self, news: News) {
        let (is_lost, is_twice, late) = {
            let mut dice = self.dice.lock();
            let late = if dice.is(self.lost) { dice.below(30_000) } else { 0 };
            (dice.is(self.lost), dice.is(self.lost), late)
        };
        if late > 0 {
            self.env.clock.sleep(Duration::from_millis(late)).await;
        }
        if is_twice {
            self.ear.tell(news.clone()).await;
        }
        if !is_lost {
            self.ear.tell(news).await;
        }
    }

    async fn listen(&self) -> Heard {
        let heard = self.ear.listen().await;
        if self.dice.lock().is(self.lost) {
            return Heard { news: Vec::new(), ..heard };
        }
        heard
    }
}
