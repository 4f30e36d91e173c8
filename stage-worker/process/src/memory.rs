//! The memory that the container of this process may have.

use std::path::Path;

/// Where the limit is, of the second and of the first version of control groups. A container sees its own group there.
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The limit in bytes; `None` if there is none, or none is known.
pub(crate) fn of_container() -> Option<u64> {
    LIMITS.into_iter().find_map(|file| limit(Path::new(file)))
}

fn limit(file: &Path) -> Option<u64> {
    let bytes: u64 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    // The first version says so that there is none.
    (bytes < 1 << 60).then_some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_limit_is_a_number_that_a_machine_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            let file = folder.path().join("limit");
            std::fs::write(&file, text).unwrap();
            limit(&file)
        };
        assert_eq!(of("536870912\n"), Some(512 << 20));
        assert_eq!((of("max\n"), of("9223372036854771712\n")), (None, None));
        assert_eq!(limit(Path::new("/nowhere/at/all")), None);
    }
}
