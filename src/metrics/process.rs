//! What the kernel knows of this process, from `/proc`. Cheap enough for a four-letter word, not
//! for a request.

/// Open file descriptors; `None` where `/proc` cannot be read.
pub fn open_file_descriptors() -> Option<u64> {
    // The listing itself holds one.
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(listed.saturating_sub(1))
}

/// The soft limit of open file descriptors; `None` if unlimited or unknown.
pub fn open_file_descriptors_max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limit(&limits)
}

fn limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_counted() {
        let before = open_file_descriptors().unwrap();
        assert!(before >= 3);
        assert!(open_file_descriptors_max().is_none_or(|max| max >= before));
    }

    #[test]
    fn the_limit_is_found() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
             Max processes             63432                63432                processes\n\
             Max open files            20000                524288               files\n";
        assert_eq!(limit(text), Some(20000));
        assert_eq!(limit("Max open files            unlimited   unlimited  files\n"), None);
        assert_eq!(limit(""), None);
    }
}
