//! `system.tables` and `system.settings`: what this gateway is configured with.

use dunlin_planner::SnapshotError;

use super::rows::{Row, Rows};
use super::state::{Snapshot, unread};

impl Snapshot {
    pub(super) async fn tables_of_site(&self, rows: &mut Rows<'_>) -> Result<(), SnapshotError> {
        let live = self.system.current.now();
        let planner = live.planner.granting(self.caller.grants());
        for table in planner.tables().await.map_err(unread)? {
            rows.push(Row::default().text(table.name).text(table.format))?;
        }
        Ok(())
    }

    pub(super) fn settings(&self, rows: &mut Rows<'_>) -> Result<(), SnapshotError> {
        for setting in self.system.current.now().settings.iter() {
            let row = Row::default()
                .text(setting.name.clone())
                .some_text(setting.value.clone())
                .flag(setting.source.is_none())
                .some_text(setting.source.clone());
            rows.push(row)?;
        }
        Ok(())
    }
}
