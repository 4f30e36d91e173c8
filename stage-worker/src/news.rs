//! News between this process and others, beside the work of its slots.

use std::sync::Arc;

use dunlin_manifest::query::{self, News, Wake};

use crate::known::Known;
use crate::shared::Shared;

/// Listens while the process runs, and wakes its slots.
pub(crate) async fn listen(shared: Arc<Shared>, wake: Arc<dyn Wake>) {
    loop {
        let heard = wake.listen().await;
        shared.take_place(heard.place);
        for news in heard.news {
            // A query that has ended needs no worker. The heartbeats of its attempts find out.
            if !news.ended && shared.options.pool.runs(news.pool.as_deref()) {
                shared.hear(&news.query);
            }
        }
    }
}

/// Tells other processes of the seals that this one has written, if it has written any since it last told of them.
pub(crate) async fn announce(shared: &Arc<Shared>, known: &Known) {
    if !known.handle.has_news() {
        return;
    }
    tell(shared, known.handle.news());
    query::ring(&shared.asking(), &shared.env).await;
}

/// Tells other processes beside the work of the slots.
pub(crate) fn tell(shared: &Arc<Shared>, news: News) {
    if let Some(wake) = shared.options.wake.clone() {
        shared.writing.spawn(async move { wake.tell(news).await });
    }
}
