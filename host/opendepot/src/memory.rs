//! How the system's allocator keeps freed memory.

/// Bounds glibc's arenas to the processors, at least two.
///
/// glibc makes up to eight arenas a processor, and each keeps what its threads freed. This process
/// decodes much in its first second, on many threads of the blocking pool; with ten thousand
/// versions loaded the default keeps about 50 MiB that nobody uses (adr/012). Must run before
/// other threads do.
pub(crate) fn bound_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let num_arenas = i32::try_from(processors.max(2)).unwrap_or(i32::MAX);
        #[expect(
            unsafe_code,
            reason = "mallopt takes two integers and touches only the allocator's own settings; no other thread runs yet"
        )]
        // SAFETY: called first in `main`, with a documented parameter and a positive value.
        let _is_set = unsafe { libc::mallopt(libc::M_ARENA_MAX, num_arenas) };
    }
}
