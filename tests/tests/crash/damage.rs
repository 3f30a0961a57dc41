//! What a crash or a bad disk may leave behind (U10).
