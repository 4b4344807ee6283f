//! Lines in klog's text form, for the few that upstream writes that way. Each names upstream's place in the source.

/// Writes `W1125 01:02:03.000004  123 place] text` to standard error.
pub fn warning(place: &str, text: &str) {
    line('W', place, text);
}

/// As [`warning`], for an error that ends nothing.
pub fn error(place: &str, text: &str) {
    line('E', place, text);
}

fn line(level: char, place: &str, text: &str) {
    let zoned = crate::time::now().to_zoned(jiff::tz::TimeZone::system());
    let stamp = zoned.strftime("%m%d %H:%M:%S.%6f");
    eprintln!("{level}{stamp} {:>7} {place}] {text}", std::process::id());
}
