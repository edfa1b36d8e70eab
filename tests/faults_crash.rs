//! Deaths without a warning, torn records and full disks; and that `resume` or `abort` settles each (I9).

#![allow(clippy::disallowed_methods)]

mod common;
#[path = "faults/crashes.rs"]
mod crashes;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/support.rs"]
mod support;
#[path = "faults/torn.rs"]
mod torn;
