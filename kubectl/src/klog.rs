//! Warnings in klog's text form, for the few that upstream writes that way.

/// Writes `W1125 01:02:03.000004  123 kubectl] text` to standard error.
pub fn warning(text: &str) {
    line('W', text);
}

fn line(level: char, text: &str) {
    let zoned = crate::time::now().to_zoned(jiff::tz::TimeZone::system());
    let stamp = zoned.strftime("%m%d %H:%M:%S.%6f");
    eprintln!("{level}{stamp} {:>7} kubectl] {text}", std::process::id());
}
